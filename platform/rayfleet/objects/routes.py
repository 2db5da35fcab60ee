"""HTTPRoutes: their parents, their backends with weights, and what Gateways hold against them. Pure.

Source: Gateway API v1 ``HTTPRoute`` (a backend without a weight has 1); conditions ``Accepted`` and ``ResolvedRefs`` of
``status.parents``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import GATEWAY_API, GATEWAYS
from rayfleet.objects.meta import namespace_of
from rayfleet.objects.parts import entries, mappings, part, whole_number

_OF_A_PARENT = frozenset({"Accepted", "ResolvedRefs"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """Why a Gateway does not take a route as it is, in its own words."""

    gateway: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentReference:
    """What a route wants to be attached to; ``port`` 0 and ``section_name`` empty: any. ``raw`` is as it stands."""

    group: str
    kind: str
    namespace: str
    name: str
    section_name: str
    port: int
    raw: ReadOnlyJson = field(compare=False, repr=False)

    @property
    def gateway(self) -> ObjectKey | None:
        """Which Gateway is meant, None where it is none."""
        is_gateway = (self.group, self.kind) == (GATEWAY_API, GATEWAYS.kind)
        return ObjectKey(namespace=self.namespace, name=self.name) if is_gateway else None


def parent_references(route: ReadOnlyJson) -> list[ParentReference]:
    """Return the parents that a route names, in order."""
    return [decode_parent(raw, namespace_of(route)) for raw in entries(route, "spec", "parentRefs")]


def parent_statuses(route: ReadOnlyJson) -> list[tuple[ParentReference, str, Json]]:
    """Return what a route was told by its parents: which, by which controller, the whole entry; in order."""
    return [
        (decode_parent(part(entry, "parentRef"), namespace_of(route)), str(entry.get("controllerName") or ""), entry)
        for entry in entries(route, "status", "parents")
    ]


def decode_parent(raw: ReadOnlyJson, namespace: str) -> ParentReference:
    """Return a parent reference of a route in ``namespace``."""
    return ParentReference(
        group=str(raw.get("group", GATEWAY_API)),
        kind=str(raw.get("kind", GATEWAYS.kind)),
        namespace=str(raw.get("namespace") or namespace),
        name=str(raw.get("name") or ""),
        section_name=str(raw.get("sectionName") or ""),
        port=whole_number(raw.get("port"), 0),
        raw=raw,
    )


def backend_weights(route: ReadOnlyJson) -> Mapping[str, int]:
    """Return the weight of each backend of a route by its name, in order."""
    rules = mappings(part(route, "spec").get("rules"))
    backends = [backend for rule in rules for backend in mappings(rule.get("backendRefs"))]
    return {str(backend.get("name")): whole_number(backend.get("weight"), 1) for backend in backends}


def has_hostnames(route: ReadOnlyJson) -> bool:
    """Whether a route is for some host names only."""
    return bool(part(route, "spec").get("hostnames"))


def complaints(route: ReadOnlyJson) -> Iterator[Complaint]:
    """Yield what Gateways hold against a route, in the order of its status."""
    for parent in mappings(part(route, "status").get("parents")):
        for condition in mappings(parent.get("conditions")):
            if condition.get("type") in _OF_A_PARENT and condition.get("status") == "False":
                reason = str(condition.get("reason") or "NotAccepted")
                yield Complaint(
                    gateway=str(part(parent, "parentRef").get("name", "")),
                    reason=reason,
                    message=str(condition.get("message") or reason),
                )
