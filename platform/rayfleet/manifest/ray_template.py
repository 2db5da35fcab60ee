"""What KubeRay would refuse silently in a RayCluster spec, said loudly beforehand. Pure.

KubeRay answers an invalid spec with an event alone: no condition, no requeue, no status. Its own list is ``kuberay``'s;
here are the types and enums of its definition, the names that its optional webhook holds, and what the pods' own API
would refuse.
"""

import re
from collections.abc import Iterator
from typing import Any

from rayfleet.manifest.checking import child_path, quoting_hint, shown
from rayfleet.manifest.kuberay import kuberay_refusals
from rayfleet.manifest.label_syntax import metadata_errors
from rayfleet.manifest.pod_resources import resource_errors
from rayfleet.model.errors import FieldError
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.parts import mapping, part
from rayfleet.objects.ray_spec import INT32_MAX

_GROUP_COUNTS = {"replicas": 0, "minReplicas": None, "maxReplicas": None, "numOfHosts": 1}  # the least, if held here


def ray_template_errors(spec: ReadOnlyJson, annotations: ReadOnlyJson, path: str) -> tuple[FieldError, ...]:
    """Return everything wrong with a RayCluster spec.

    ``path`` is where it stands, ``annotations`` are the RayCluster's.
    """
    return tuple(_errors(spec, annotations, path))


def _errors(spec: ReadOnlyJson, annotations: ReadOnlyJson, path: str) -> Iterator[FieldError]:
    head_path = child_path(path, "headGroupSpec")
    head = spec.get("headGroupSpec")
    if head is None:
        yield FieldError(path=head_path, message="must be given")
    elif not isinstance(head, dict):
        yield FieldError(path=head_path, message=f"{shown(head)} is not a mapping")
    else:
        yield from _group_errors(head, head_path)
    yield from _worker_errors(spec, child_path(path, "workerGroupSpecs"))
    yield from _feature_errors(spec, path)
    refusals = kuberay_refusals(spec, annotations, path) if isinstance(head, dict) else ()
    yield from (FieldError(path=each.path, message=each.advice) for each in refusals)


def _worker_errors(spec: ReadOnlyJson, path: str) -> Iterator[FieldError]:
    groups = spec.get("workerGroupSpecs")
    if groups is None:
        return
    if not isinstance(groups, list):
        yield FieldError(path=path, message=f"{shown(groups)} is not a list")
        return
    seen: dict[str, int] = {}
    for index, group in enumerate(groups):
        here = f"{path}[{index}]"
        if not isinstance(group, dict):
            yield FieldError(path=here, message=f"{shown(group)} is not a mapping")
            continue
        yield from _group_name_errors(group.get("groupName"), seen, index, path)
        yield from _count_errors(group, here)
        yield from _group_errors(group, here)


def _group_name_errors(name: Any, seen: dict[str, int], index: int, path: str) -> Iterator[FieldError]:
    here = f"{path}[{index}].groupName"
    if not isinstance(name, str) or not name:
        yield FieldError(path=here, message="must be given")
    elif name in seen:
        yield FieldError(path=here, message=f"{shown(name)} is the name of {path}[{seen[name]}] too")
    elif not re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", name):
        yield FieldError(path=here, message=f"{shown(name)} cannot be a label (63 letters, digits, '-', '_' and '.')")
    else:
        seen[name] = index


def _count_errors(group: ReadOnlyJson, path: str) -> Iterator[FieldError]:
    for name, lowest in _GROUP_COUNTS.items():
        value = group.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            yield FieldError(path=f"{path}.{name}", message=f"{shown(value)} is not a whole number")
        elif value > INT32_MAX:
            yield FieldError(path=f"{path}.{name}", message=f"{value} must be at most {INT32_MAX}")
        elif lowest is not None and value < lowest:
            yield FieldError(path=f"{path}.{name}", message=f"{value} must be at least {lowest}")


def _group_errors(group: ReadOnlyJson, path: str) -> Iterator[FieldError]:
    yield from _start_param_errors(group, path)
    template = group.get("template")
    if not isinstance(template, dict) and template is not None:
        yield FieldError(path=f"{path}.template", message=f"{shown(template)} is not a mapping")
        return
    yield from metadata_errors(part(template or {}, "metadata"), f"{path}.template.metadata")
    for field in ("initContainers", "containers"):
        items = part(template or {}, "spec").get(field)
        if isinstance(items, list):
            yield from _container_errors(items, f"{path}.template.spec.{field}")


def _container_errors(items: list[Any], path: str) -> Iterator[FieldError]:
    names: set[str] = set()
    for index, item in enumerate(items):
        here = f"{path}[{index}]"
        if not isinstance(item, dict):
            yield FieldError(path=here, message=f"{shown(item)} is not a mapping")
            continue
        for field in ("name", "image"):
            if not isinstance(item.get(field), str) or not item[field]:
                yield FieldError(path=f"{here}.{field}", message="must be given")
        name = str(item.get("name"))
        if item.get("name") and name in names:
            yield FieldError(path=f"{here}.name", message=f"{shown(name)} is the name of another container too")
        names.add(name)
        yield from _environment_errors(item, here)
        yield from resource_errors(item, here)


def _environment_errors(container: ReadOnlyJson, path: str) -> Iterator[FieldError]:
    entries = container.get("env")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        value = mapping(entry).get("value")
        if value is not None and not isinstance(value, str):
            yield FieldError(
                path=f"{path}.env[{index}].value", message=f"{shown(value)} is not text{quoting_hint(value)}"
            )
        if mapping(entry).get("name") == "KUBERAY_GEN_AUTOSCALER_START_CMD":
            yield FieldError(path=f"{path}.env[{index}].name", message="is reserved by KubeRay")


def _start_param_errors(group: ReadOnlyJson, path: str) -> Iterator[FieldError]:
    here = f"{path}.rayStartParams"
    params = group.get("rayStartParams")
    if params is not None and not isinstance(params, dict):
        yield FieldError(path=here, message=f"{shown(params)} is not a mapping")
        return
    for name, value in (params or {}).items():
        if not isinstance(value, str):
            yield FieldError(path=child_path(here, name), message=f"{shown(value)} is not text{quoting_hint(value)}")


def _feature_errors(spec: ReadOnlyJson, path: str) -> Iterator[FieldError]:
    version = spec.get("rayVersion")
    if version is not None and not isinstance(version, str):
        yield FieldError(path=f"{path}.rayVersion", message=f"{shown(version)} is not text{quoting_hint(version)}")
    upgrade = mapping(spec.get("upgradeStrategy")).get("type")
    if upgrade not in {None, "Recreate", "None"}:
        yield FieldError(path=f"{path}.upgradeStrategy.type", message=f"{shown(upgrade)} is none of Recreate, None")
    manager = spec.get("managedBy")
    if manager not in {None, "ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue"}:
        yield FieldError(path=f"{path}.managedBy", message=f"{shown(manager)}: KubeRay would leave such clusters alone")
