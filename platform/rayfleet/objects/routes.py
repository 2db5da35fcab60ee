"""HTTPRoutes: their backends with weights, and what Gateways hold against them. Pure.

Source: Gateway API v1 ``HTTPRoute`` (a backend without a weight has 1); conditions ``Accepted`` and ``ResolvedRefs`` of
``status.parents``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.parts import mappings, part, whole_number

_OF_A_PARENT = frozenset({"Accepted", "ResolvedRefs"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """Why a Gateway does not take a route as it is, in its own words."""

    gateway: str
    reason: str
    message: str


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
