"""A fleet that the pre-flight check says nothing of, and changes of it. Pure."""

import copy
from collections.abc import Mapping
from typing import Any

from rayfleet.model.json import Json


def good_fleet(fields: Mapping[str, Any]) -> Json:
    """Return a fleet that nothing is to be said of, with ``fields`` (dotted paths, ``a.0.b``) put into it.

    A place at the end of a list adds to it.
    """
    head, worker = _group("ray-head"), {"groupName": "a", "replicas": 1, "minReplicas": 1, "maxReplicas": 1}
    raw: Json = {
        "apiVersion": "orchestration.aibrix.ai/v1alpha1",
        "kind": "RayClusterFleet",
        "metadata": {"name": "qwen"},
        "spec": {
            "selector": {"matchLabels": {"app": "qwen"}},
            "template": {
                "metadata": {"labels": {"app": "qwen"}},
                "spec": {
                    "rayVersion": "2.60.0",
                    "headGroupSpec": head,
                    "workerGroupSpecs": [{**worker, **_group("ray-worker")}],
                },
            },
        },
    }
    sidecar = {"name": "sidecar", "image": "rayfleet/sidecar:0.1.0", "ports": [{"containerPort": 8082}]}
    for path, value in {"spec.template.spec.headGroupSpec.template.spec.containers.1": sidecar, **fields}.items():
        put(raw, path, value)
    return raw


def put(raw: Json, path: str, value: Any) -> None:
    """Put a copy of ``value`` at a dotted path, in place; mappings on the way are made."""
    *parents, last = path.split(".")
    place: Any = raw
    for name in parents:
        place = place[int(name)] if name.isdecimal() else place.setdefault(name, {})
    if last.isdecimal() and int(last) == len(place):
        place.append(copy.deepcopy(value))
    else:
        place[int(last) if last.isdecimal() else last] = copy.deepcopy(value)


def _group(name: str) -> Json:
    container = {"name": name, "image": "registry.example/llm:1"}
    return {"rayStartParams": {}, "template": {"spec": {"containers": [container]}}}
