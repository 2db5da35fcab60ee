"""Which of several rules that match takes a request (HTTPRouteRule, "precedence")."""

from rayfleet.testing.suites.data_plane.objects import matching, route, rule
from rayfleet.testing.suites.data_plane.plane import Capability
from rayfleet.testing.suites.data_plane.rooms.room import Asked, Room

_HOST = "precedence.example"


def _header(name: str, value: str = "1") -> dict[str, str]:
    return {"name": name, "value": value}


PRECEDENCE = Room(
    host=_HOST,
    objects=(
        route(
            "precedence",
            rule(matching("/t"), to="a"),
            rule(matching("/t/long"), to="b"),
            rule(matching("/t/long", "Exact"), to="c"),
            rule(matching("/v1/rerank"), to="e"),
            rule(matching("/v1/re.*", "RegularExpression"), to="d"),
            rule(matching("/m", headers=[_header("x"), _header("y")]), to="a"),
            rule(matching("/m", method="PUT"), to="b"),
            rule(matching("/m", headers=[_header("x")], queryParams=[_header("q"), _header("r")]), to="c"),
            rule(matching("/m", queryParams=[_header("q")]), to="d"),
            rule(matching("/m", queryParams=[_header("q"), _header("r")]), to="e"),
            rule(matching("/m"), to="f"),
            hostnames=[_HOST],
        ),
        route("precedence-b", rule(matching("/names"), to="b"), hostnames=[_HOST]),
        route("precedence-a", rule(matching("/names"), to="a"), rule(matching("/names"), to="c"), hostnames=[_HOST]),
    ),
    asked={
        "the prefix alone": Asked(path="/t/x", engine="a"),
        "the longer prefix": Asked(path="/t/long/1", engine="b"),
        "exactly before all": Asked(path="/t/long", engine="c"),
        "a pattern before prefixes": Asked(path="/v1/rerank", engine="d", model="m", needs=[Capability.PATTERNS]),
        "nothing but the path": Asked(path="/m", engine="f"),
        "a method before headers": Asked(path="/m", method="PUT", headers=["x: 1", "y: 1"], engine="b"),
        "two headers before one and a query": Asked(path="/m?q=1&r=1", headers=["x: 1", "y: 1"], engine="a"),
        "a header before a query": Asked(path="/m?q=1&r=1", headers=["x: 1"], engine="c"),
        "one query": Asked(path="/m?q=1", engine="d"),
        "two queries before one": Asked(path="/m?r=1&q=1", engine="e"),
        "a longer path before any header": Asked(path="/t/long/2", headers=["x: 1", "y: 1"], engine="b"),
        "the name where all is equal, then the order": Asked(path="/names", engine="a"),
    },
)
