"""Whatever is in a manifest, the decoder answers with a value or with a ManifestError.

What it took survives the way back.
"""

import copy
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rayfleet.manifest.documents import load_documents
from rayfleet.manifest.fleet import decode_fleet
from rayfleet.manifest.ray_cluster import decode_ray_cluster
from rayfleet.model.errors import ManifestError
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.ray_spec import accelerators
from rayfleet.planning.fleet.identity import template_identity
from rayfleet.testing.manifests import encode_fleet

BASE: Json = {
    "apiVersion": "orchestration.aibrix.ai/v1alpha1",
    "kind": "RayClusterFleet",
    "metadata": {"name": "fleet", "labels": {"a": "b"}, "annotations": {}},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "x"}, "matchExpressions": [{"key": "app", "operator": "Exists"}]},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}},
        "template": {
            "metadata": {"labels": {"app": "x"}, "annotations": {"c": "d"}},
            "spec": {
                "rayVersion": "2.60.0",
                "authOptions": {"mode": "token"},
                "headGroupSpec": {
                    "rayStartParams": {"block": "true"},
                    "template": {
                        "metadata": {"labels": {"e": "f"}},
                        "spec": {"containers": [{"name": "a", "image": "b"}]},
                    },
                },
                "workerGroupSpecs": [
                    {
                        "groupName": "g",
                        "replicas": 1,
                        "scaleStrategy": {"workersToDelete": []},
                        "template": {"spec": {"containers": [{"name": "a", "image": "b", "env": [{"name": "N"}]}]}},
                    }
                ],
            },
        },
    },
}
SERVING: Json = {
    "engine": "e",
    "model": "m",
    "servedModelName": "s",
    "nodes": 2,
    "parallelism": {"tensor": 2},
    "resources": {"cpu": 1, "memory": "1Gi", "accelerators": 1},
    "args": ["x"],
    "env": {"A": "b"},
}
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(allow_nan=False), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=5), inner, max_size=2)),
    max_leaves=4,
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of everything in ``value``."""
    if isinstance(value, dict):
        below = [found for name, item in value.items() for found in paths(item, (*path, name))]
    elif isinstance(value, list):
        below = [found for index, item in enumerate(value) for found in paths(item, (*path, index))]
    else:
        below = []
    return [path, *below] if path else below


@st.composite
def spoilt(draw: st.DrawFn) -> Json:
    """Return a good manifest in which up to three places hold anything."""
    raw = copy.deepcopy(BASE)
    if draw(st.booleans()):
        raw["spec"]["serving"] = copy.deepcopy(SERVING)
        del raw["spec"]["template"], raw["spec"]["selector"]
    for _ in range(draw(st.integers(0, 3))):
        *parents, last = draw(st.sampled_from(paths(raw)))
        place: Any = raw
        for name in parents:
            place = place[name]
        place[last] = draw(json_values)
    return raw


@settings(max_examples=400)
@given(raw=spoilt())
def test_a_fleet_is_decoded_or_refused_and_never_crashes(raw: ReadOnlyJson) -> None:
    try:
        fleet = decode_fleet(raw)
    except ManifestError:
        return
    again = decode_fleet(encode_fleet(fleet))
    assert (again.spec, again.meta.name, again.meta.labels) == (fleet.spec, fleet.meta.name, fleet.meta.labels)
    if fleet.spec.template is not None:
        assert again.spec.template is not None
        assert template_identity(again.spec.template) == template_identity(fleet.spec.template)
        accelerators(fleet.spec.template.spec)  # must not crash either


@given(
    amount=json_values | st.from_regex(r"-?[0-9]{1,3}(\.[0-9])?(m|k|Ki|e3)?", fullmatch=True),
    replicas=json_values,
    hosts=json_values,
)
def test_accelerators_are_a_whole_number_of_at_least_none(amount: Any, replicas: Any, hosts: Any) -> None:
    container = {"name": "ray", "resources": {"limits": {"nvidia.com/gpu": amount}}}
    group = {"template": {"spec": {"containers": [container]}}}
    workers = {**group, "replicas": replicas, "numOfHosts": hosts}
    counted = accelerators({"headGroupSpec": group, "workerGroupSpecs": [workers]})
    assert (type(counted), counted >= 0) == (int, True)


@settings(max_examples=200)
@given(raw=spoilt(), status=json_values)
def test_a_ray_cluster_is_always_decoded(raw: ReadOnlyJson, status: Any) -> None:
    spec = raw["spec"] if isinstance(raw.get("spec"), dict) else {}
    decoded = decode_ray_cluster({"metadata": {"name": "a"}, "spec": spec, "status": status})
    assert not decoded.is_ready


@settings(max_examples=200)
@given(text=st.text(alphabet="ab:{}[]-?*&!|>'\"%@ \n\t1.\0", max_size=40))
def test_any_text_is_documents_or_a_manifest_error(text: str) -> None:
    with suppress(ManifestError):
        assert load_documents(text, "x") == []
