"""Gateways and HTTPRoutes as a client meets them: where to go, what to ask for. Pure.

Source: Gateway API v1 (``Gateway.status.addresses``, ``HTTPRoute.spec.rules[].matches[].headers``).
"""

from collections.abc import Iterable

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.parts import mapping, mappings


def url_of_gateways(gateways: Iterable[ReadOnlyJson]) -> str:
    """Return the URL of the first Gateway that has an address and a listener, empty when none has."""
    for gateway in gateways:
        addresses = mappings(mapping(gateway.get("status")).get("addresses"))
        listeners = mappings(mapping(gateway.get("spec")).get("listeners"))
        if addresses and listeners:
            scheme = "https" if listeners[0].get("protocol") == "HTTPS" else "http"
            return f"{scheme}://{addresses[0].get('value')}:{listeners[0].get('port')}"
    return ""


def class_of_gateway(gateway: ReadOnlyJson) -> str:
    """Return the name of a Gateway's class, empty without one."""
    return str(mapping(gateway.get("spec")).get("gatewayClassName") or "")


def models_of_routes(routes: Iterable[ReadOnlyJson]) -> list[str]:
    """Return the model names that routes match by header, sorted."""
    rules = [rule for route in routes for rule in mappings(mapping(route.get("spec")).get("rules"))]
    matches = [match for rule in rules for match in mappings(rule.get("matches"))]
    headers = [header for match in matches for header in mappings(match.get("headers"))]
    return sorted({str(header.get("value")) for header in headers if str(header.get("name")).lower() == "model"})
