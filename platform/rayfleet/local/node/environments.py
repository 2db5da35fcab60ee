"""What a container's environment and command line are. Pure.

Order and expansion as the kubelet's: envFrom first, then env in order; ``$(NAME)`` is replaced by what was set before,
``$$`` is an escaped dollar, an unknown name stays as it is. Source: Kubernetes, "Define Dependent Environment
Variables".
"""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rayfleet.local.node.quantities import quantity_value, whole_quantity

JsonObject = Mapping[str, Any]

_REFERENCE = re.compile(r"\$(?:(\$)|\(([^)]*)\))")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


class CannotConfigure(Exception):
    """A container cannot be configured as its spec says; the message is shown in the pod's status."""


class ConfigLookup:
    """Reads Secrets and ConfigMaps of the pod's namespace; None when absent."""

    def __init__(
        self, secret: Callable[[str], JsonObject | None], config_map: Callable[[str], JsonObject | None]
    ) -> None:
        self.secret = secret
        self.config_map = config_map


def container_environment(pod: JsonObject, container: JsonObject, lookup: ConfigLookup, address: str) -> dict[str, str]:
    """Return the declared environment of a container, in order. Raises CannotConfigure."""
    found: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        found |= _from_source(source, lookup)
    for entry in container.get("env") or ():
        if "valueFrom" in entry:
            value = _referenced(entry["name"], entry["valueFrom"], pod, container, (lookup, address))
            if value is not None:
                found[entry["name"]] = value
        else:
            found[entry["name"]] = expanded(str(entry.get("value") or ""), found)
    return found


def expanded(text: str, environment: Mapping[str, str]) -> str:
    """Return ``text`` with its ``$(NAME)`` references replaced."""

    def replacement(match: re.Match[str]) -> str:
        if match[1]:
            return "$"
        return environment.get(match[2], match[0])

    return _REFERENCE.sub(replacement, text)


def command_line(container: JsonObject, environment: Mapping[str, str]) -> list[str]:
    """Return command and args with references replaced.

    Raises CannotConfigure without a command: images have no entrypoint here.
    """
    command: Sequence[str] = container.get("command") or ()
    if not command:
        raise CannotConfigure(
            f"container {container['name']} has no command, and images have no entrypoint on this machine; "
            "set `command`"
        )
    return [expanded(str(word), environment) for word in (*command, *(container.get("args") or ()))]


def _from_source(source: JsonObject, lookup: ConfigLookup) -> dict[str, str]:
    prefix = source.get("prefix", "")
    for field, read, decode in (
        ("secretRef", lookup.secret, _decoded),
        ("configMapRef", lookup.config_map, str),
    ):
        reference = source.get(field)
        if reference is None:
            continue
        found = read(reference["name"])
        if found is None and not reference.get("optional"):
            raise CannotConfigure(f"envFrom: there is no {field.removesuffix('Ref')} {reference['name']!r}")
        return {prefix + key: decode(value) for key, value in ((found or {}).get("data") or {}).items()}
    return {}


def _referenced(
    name: str, source: JsonObject, pod: JsonObject, container: JsonObject, known: tuple[ConfigLookup, str]
) -> str | None:
    lookup, address = known
    match source:
        case {"fieldRef": {"fieldPath": path}}:
            return field_value(pod, path, address)
        case {"secretKeyRef": reference}:
            return _keyed(name, "secret", reference, lookup.secret, _decoded)
        case {"configMapKeyRef": reference}:
            return _keyed(name, "configMap", reference, lookup.config_map, str)
        case {"resourceFieldRef": reference}:
            return _resource(name, reference, pod, container)
        case _:
            raise CannotConfigure(f"env {name}: valueFrom {sorted(source)} is not supported on this machine")


def field_value(pod: JsonObject, path: str, address: str) -> str:
    """Return what the downward API gives for a field path. Raises CannotConfigure for one that it does not have."""
    meta, spec = pod["metadata"], pod["spec"]
    if match := _SUBSCRIPT.fullmatch(path):
        return str((meta.get(match[1]) or {}).get(match[2], ""))
    plain = {
        "metadata.name": meta.get("name"),
        "metadata.namespace": meta.get("namespace"),
        "metadata.uid": meta.get("uid"),
        "spec.nodeName": spec.get("nodeName"),
        "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
        "status.podIP": address,
        "status.podIPs": address,
        "status.hostIP": "127.0.0.1",
        "status.hostIPs": "127.0.0.1",
    }
    if path not in plain:
        raise CannotConfigure(f"fieldPath {path!r} is not one that the downward API has")
    return str(plain[path] or "")


def _keyed(
    name: str,
    kind: str,
    reference: JsonObject,
    read: Callable[[str], JsonObject | None],
    decode: Callable[[str], str],
) -> str | None:
    found = read(reference["name"])
    value = ((found or {}).get("data") or {}).get(reference["key"])
    if value is not None:
        return decode(value)
    if reference.get("optional"):
        return None
    missing = "it" if found is None else f"its key {reference['key']!r}"
    raise CannotConfigure(f"env {name}: {kind} {reference['name']!r}: {missing} does not exist")


def _resource(name: str, reference: JsonObject, pod: JsonObject, container: JsonObject) -> str:
    owner = container
    if reference.get("containerName"):
        owner = next(
            (each for each in pod["spec"]["containers"] if each["name"] == reference["containerName"]), container
        )
    side, _, resource = reference["resource"].partition(".")
    resources = owner.get("resources") or {}
    value = (resources.get(side) or {}).get(resource) or (resources.get("limits") or {}).get(resource)
    try:
        divisor = quantity_value(reference.get("divisor") or 1) or 1.0
        return str(whole_quantity(quantity_value(value or 0) / divisor))
    except ValueError as error:
        raise CannotConfigure(f"env {name}: {error}") from error


def _decoded(value: str) -> str:
    return base64.b64decode(value).decode("utf-8", "replace")
