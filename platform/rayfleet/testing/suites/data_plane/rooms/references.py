"""Backends that cannot be used, and rules that ask for what no plane does: never more than was asked, and told so.

Source: Gateway API v1.6, HTTPBackendRef ("invalid": 500 for its share), ReferenceGrant.
"""

from rayfleet.testing.suites.data_plane.objects import NAMESPACE, OTHER, backend, grant, matching, route, rule, served
from rayfleet.testing.suites.data_plane.rooms.room import Asked, Room

_HOST = "references.example"
_MIRROR = {"type": "RequestMirror", "requestMirror": {"backendRef": backend("b")}}


def _broken(path: str) -> Asked:
    return Asked(path=path, status=500, code="route_without_backend", model="m")


REFERENCES = Room(
    host=_HOST,
    objects=(
        *served("asleep", [("192.0.2.1", 8000)], is_ready=False),
        *served("empty", []),
        grant("by-name", of=NAMESPACE, to=OTHER, services=["granted"]),
        route(
            "references",
            rule(matching("/granted"), to=[backend("granted", namespace=OTHER)]),
            rule(matching("/not-granted"), to=[backend("not-granted", namespace=OTHER)]),
            rule(matching("/missing"), to="missing"),
            rule(matching("/no-port"), to=[{"name": "a", "port": 1}]),
            rule(matching("/no-service"), to=[{"name": "a", "kind": "Other", "group": "example.org", "port": 1}]),
            rule(matching("/weightless"), to=[backend("a", weight=0)]),
            rule(matching("/none")),
            rule(matching("/asleep"), to="asleep"),
            rule(matching("/empty"), to="empty"),
            rule(matching("/one-is-asleep"), to=[backend("a"), backend("asleep")]),
            rule(matching("/one-is-weightless"), to=[backend("a"), backend("b", weight=0)]),
            hostnames=[_HOST],
        ),
        route(
            "refused",
            rule(matching("/mirrored"), to="a", filters=[_MIRROR]),
            rule(matching("/beside"), to="a"),
            hostnames=[_HOST],
        ),
    ),
    asked={
        "granted by name": Asked(path="/granted", engine="granted"),
        "not granted": _broken("/not-granted"),
        "no such Service": _broken("/missing"),
        "no such port": _broken("/no-port"),
        "no Service at all": _broken("/no-service"),
        "weights of zero": _broken("/weightless"),
        "no backend": _broken("/none"),
        "none ready": Asked(path="/asleep", status=503, code="model_not_ready", model="m"),
        "no endpoint": Asked(path="/empty", status=503, code="model_not_ready", model="m"),
        "one of two is ready": Asked(path="/one-is-asleep", engine="a"),
        "one of two has weight": Asked(path="/one-is-weightless", engine="a"),
        "refused by name, not ignored": Asked(path="/mirrored", status=404, code="path_not_found"),
        "beside one that is refused": Asked(path="/beside", engine="a"),
    },
)
