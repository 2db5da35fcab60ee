"""How methods, headers and query parameters match: all of one match, any of several."""

from rayfleet.testing.suites.data_plane.objects import matching, route, rule
from rayfleet.testing.suites.data_plane.plane import Capability
from rayfleet.testing.suites.data_plane.rooms.room import Asked, Room

_HOST = "matches.example"
_PATTERNS = (Capability.PATTERNS,)


def _exact(name: str, value: str) -> dict[str, str]:
    return {"name": name, "value": value}


def _pattern(name: str, value: str) -> dict[str, str]:
    return {"type": "RegularExpression", "name": name, "value": value}


def _nowhere(path: str, *headers: str, method: str = "POST", needs: tuple[Capability, ...] = ()) -> Asked:
    return Asked(path=path, headers=headers, method=method, status=404, code="path_not_found", needs=needs)


MATCHES = Room(
    host=_HOST,
    objects=(
        route(
            "matches",
            rule(matching("/method", method="GET"), to="a"),
            rule(matching("/method", method="POST"), matching("/method", method="PATCH"), to="b"),
            rule(matching("/header", headers=[_exact("X-Team", "red"), _exact("X-Tier", "1")]), to="a"),
            rule(matching("/header", headers=[_exact("X-Team", "blue")]), to="b"),
            rule(matching("/header", headers=[_pattern("X-Id", "[a-f]{2,4}")]), to="c"),
            rule(matching("/query", queryParams=[_exact("team", "red"), _exact("tier", "1")]), to="a"),
            rule(matching("/query", queryParams=[_exact("team", "a b")]), to="b"),
            rule(matching("/query", queryParams=[_pattern("id", "[a-f]{2,4}")]), to="c"),
            hostnames=[_HOST],
        ),
    ),
    asked={
        "GET": Asked(path="/method", method="GET", engine="a"),
        "POST, one of two matches": Asked(path="/method", engine="b"),
        "PATCH, the other": Asked(path="/method", method="PATCH", engine="b"),
        "no such method": _nowhere("/method", method="PUT"),
        "two headers": Asked(path="/header", headers=["X-Team: red", "X-Tier: 1"], engine="a"),
        "header names in any case": Asked(path="/header", headers=["x-TEAM: red", "x-tier: 1"], engine="a"),
        "the other header": Asked(path="/header", headers=["X-Team: blue", "X-Tier: 9"], engine="b"),
        "one of two headers": _nowhere("/header", "X-Team: red"),
        "a header's value in its case": _nowhere("/header", "X-Team: Blue"),
        "no header": _nowhere("/header"),
        "a header's pattern": Asked(path="/header", headers=["X-Id: abc"], engine="c", needs=_PATTERNS),
        "a header's pattern is the whole value": _nowhere("/header", "X-Id: abcdef", needs=_PATTERNS),
        "two parameters": Asked(path="/query?tier=1&team=red", engine="a"),
        "among others": Asked(path="/query?x=&team=red&y&tier=1#z".partition("#")[0], engine="a"),
        "one of two parameters": _nowhere("/query?team=red"),
        "a parameter's name in its case": _nowhere("/query?Team=red&tier=1"),
        "a parameter in escapes": Asked(path="/query?team=a%20b", engine="b"),
        "a parameter with a plus": Asked(path="/query?team=a+b", engine="b"),
        "no parameter": _nowhere("/query"),
        "a parameter's pattern": Asked(path="/query?id=fade", engine="c", needs=_PATTERNS),
        "a parameter's pattern is the whole value": _nowhere("/query?id=fades", needs=_PATTERNS),
    },
)
