"""References between namespaces: the backends of HTTPRoutes, and the ReferenceGrants that allow them. Pure.

Source: Gateway API v1.6, HTTPRoute and ReferenceGrant. A grant lies in the namespace that is referred to.
"""

from dataclasses import dataclass

from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import GATEWAY_API, HTTP_ROUTES, SERVICES
from rayfleet.objects.parts import mappings, part


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A Service that a route names at ``path``; ``namespace`` is empty for the route's own."""

    path: str
    name: str
    namespace: str


def backends(route: ReadOnlyJson) -> list[Backend]:
    """Return the backends of all rules, in order."""
    return [
        Backend(
            path=f"spec.rules[{place}].backendRefs[{index}]",
            name=str(entry.get("name") or ""),
            namespace=str(entry.get("namespace") or ""),
        )
        for place, rule in enumerate(mappings(part(route, "spec").get("rules")))
        for index, entry in enumerate(mappings(rule.get("backendRefs")))
    ]


def allows_routes(grant: ReadOnlyJson, source: str, service: str) -> bool:
    """Whether a grant lets HTTPRoutes of the namespace ``source`` refer to a Service of the grant's own namespace."""
    spec = part(grant, "spec")
    from_route = {"group": GATEWAY_API, "kind": HTTP_ROUTES.kind, "namespace": source}
    is_from = any(from_route.items() <= each.items() for each in mappings(spec.get("from")))
    is_to = any(
        (each.get("group") or "", each.get("kind")) == (SERVICES.group, SERVICES.kind)
        and (not each.get("name") or each.get("name") == service)
        for each in mappings(spec.get("to"))
    )
    return is_from and is_to
