"""Facts of a pod's spec as a template writes it: containers, volumes, mounts, variables. Pure.

Unreadable parts count as absent. Source: Kubernetes 1.36, ``PodSpec``: a volume is its name and one further field,
which says of what kind it is.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.parts import mappings, part


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """``kind`` is the field that says where it comes from (``hostPath``), ``raw`` all of it."""

    name: str
    kind: str
    raw: ReadOnlyJson


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A volume in a container; ``raw`` is all of it."""

    volume: str
    is_read_only: bool
    raw: ReadOnlyJson


def main_containers(spec: ReadOnlyJson) -> list[Json]:
    """Return the containers that run together, in order."""
    return mappings(spec.get("containers"))


def init_containers(spec: ReadOnlyJson) -> list[Json]:
    """Return the containers that initialise, in order."""
    return mappings(spec.get("initContainers"))


def volumes_of(spec: ReadOnlyJson) -> list[Volume]:
    """Return the volumes in order."""
    return [
        Volume(name=str(raw.get("name") or ""), kind=next((each for each in raw if each != "name"), ""), raw=raw)
        for raw in mappings(spec.get("volumes"))
    ]


def mounts_of(container: ReadOnlyJson) -> list[Mount]:
    """Return the mounts in order."""
    return [
        Mount(volume=str(raw.get("name") or ""), is_read_only=raw.get("readOnly") is True, raw=raw)
        for raw in mappings(container.get("volumeMounts"))
    ]


def variables_of(container: ReadOnlyJson) -> dict[str, Json]:
    """Return the entries of the environment by name, but those that tell of the container's own resources."""
    entries = mappings(container.get("env"))
    return {str(raw.get("name")): raw for raw in entries if not part(raw, "valueFrom", "resourceFieldRef")}


def only(fields: ReadOnlyJson, names: Iterable[str]) -> Json:
    """Return those of the fields that say something."""
    return {name: fields[name] for name in names if fields.get(name)}


def required_nodes(spec: ReadOnlyJson) -> frozenset[str]:
    """Return the nodes one of which a pod must run on, by its affinity; empty when that names none, or not them all."""
    required = part(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    named = [frozenset(_named_nodes(term)) for term in mappings(required.get("nodeSelectorTerms"))]
    return frozenset().union(*named) if all(named) else frozenset()


def _named_nodes(term: ReadOnlyJson) -> Iterator[str]:
    for each in (*mappings(term.get("matchExpressions")), *mappings(term.get("matchFields"))):
        if each.get("key") in {"kubernetes.io/hostname", "metadata.name"} and each.get("operator") == "In":
            yield from map(str, each.get("values") or ())
