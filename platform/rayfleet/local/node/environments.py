"""What a container's environment and command line are. Pure.

Order and expansion as the kubelet's: envFrom first, then env in order; ``$(NAME)`` is replaced by what was set before,
``$$`` is an escaped dollar, an unknown name stays as it is. Source: Kubernetes, "Define Dependent Environment
Variables".
"""

import base64
import math
import re
from collections.abc import Callable, Mapping, Sequence

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.meta import annotation, label, name_of, namespace_of, uid_of
from rayfleet.objects.parts import part
from rayfleet.objects.pods import node_name
from rayfleet.objects.quantity import Quantity

_REFERENCE = re.compile(r"\$(?:(\$)|\(([^)]*)\))")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


class CannotConfigure(Exception):
    """A container cannot be configured as its spec says; the message is shown in the pod's status."""


class ConfigLookup:
    """Reads Secrets and ConfigMaps of the pod's namespace; None when absent."""

    def __init__(
        self, secret: Callable[[str], ReadOnlyJson | None], config_map: Callable[[str], ReadOnlyJson | None]
    ) -> None:
        self.secret = secret
        self.config_map = config_map


def container_environment(
    pod: ReadOnlyJson, container: ReadOnlyJson, lookup: ConfigLookup, address: str
) -> dict[str, str]:
    """Return the declared environment of a container, in order. Raises CannotConfigure."""
    environment: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        environment |= _from_source(source, lookup)
    for entry in container.get("env") or ():
        if "valueFrom" in entry:
            value = _referenced(entry["name"], entry["valueFrom"], pod, container, (lookup, address))
            if value is not None:
                environment[entry["name"]] = value
        else:
            environment[entry["name"]] = expanded(str(entry.get("value") or ""), environment)
    return environment


def expanded(text: str, environment: Mapping[str, str]) -> str:
    """Return ``text`` with its ``$(NAME)`` references replaced."""

    def replacement(match: re.Match[str]) -> str:
        if match[1]:
            return "$"
        return environment.get(match[2], match[0])

    return _REFERENCE.sub(replacement, text)


def command_line(container: ReadOnlyJson, environment: Mapping[str, str]) -> list[str]:
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


def _from_source(source: ReadOnlyJson, lookup: ConfigLookup) -> dict[str, str]:
    prefix = source.get("prefix", "")
    for field, read, decode in (
        ("secretRef", lookup.secret, _decoded),
        ("configMapRef", lookup.config_map, str),
    ):
        reference = source.get(field)
        if reference is None:
            continue
        holder = read(reference["name"])
        if holder is None and not reference.get("optional"):
            raise CannotConfigure(f"envFrom: there is no {field.removesuffix('Ref')} {reference['name']!r}")
        return {prefix + key: decode(value) for key, value in part(holder or {}, "data").items()}
    return {}


def _referenced(
    name: str, source: ReadOnlyJson, pod: ReadOnlyJson, container: ReadOnlyJson, known: tuple[ConfigLookup, str]
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


def field_value(pod: ReadOnlyJson, path: str, address: str) -> str:
    """Return what the downward API gives for a field path. Raises CannotConfigure for one that it does not have."""
    if match := _SUBSCRIPT.fullmatch(path):
        return label(pod, match[2]) if match[1] == "labels" else annotation(pod, match[2])
    plain = {
        "metadata.name": name_of(pod),
        "metadata.namespace": namespace_of(pod),
        "metadata.uid": uid_of(pod),
        "spec.nodeName": node_name(pod),
        "spec.serviceAccountName": part(pod, "spec").get("serviceAccountName", "default"),
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
    reference: ReadOnlyJson,
    read: Callable[[str], ReadOnlyJson | None],
    decode: Callable[[str], str],
) -> str | None:
    holder = read(reference["name"])
    value = part(holder or {}, "data").get(reference["key"])
    if value is not None:
        return decode(value)
    if reference.get("optional"):
        return None
    missing = "it" if holder is None else f"its key {reference['key']!r}"
    raise CannotConfigure(f"env {name}: {kind} {reference['name']!r}: {missing} does not exist")


def _resource(name: str, reference: ReadOnlyJson, pod: ReadOnlyJson, container: ReadOnlyJson) -> str:
    owner = container
    if reference.get("containerName"):
        owner = next(
            (each for each in pod["spec"]["containers"] if each["name"] == reference["containerName"]), container
        )
    side, _, resource = reference["resource"].partition(".")
    resources = owner.get("resources") or {}
    value = (resources.get(side) or {}).get(resource) or (resources.get("limits") or {}).get(resource)
    try:
        divisor = Quantity.parse(reference.get("divisor") or 1).amount or 1
        return str(math.ceil(Quantity.parse(value or 0).amount / divisor))
    except ValueError as error:
        raise CannotConfigure(f"env {name}: {error}") from error


def _decoded(value: str) -> str:
    return base64.b64decode(value).decode("utf-8", "replace")
