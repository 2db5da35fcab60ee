"""How host names match: exactly, by whole labels of a wildcard, the longest first."""

from rayfleet.testing.suites.data_plane.objects import matching, route, rule
from rayfleet.testing.suites.data_plane.rooms.room import Asked, Room

_HOST = "hosts.example"


def _at(host: str, engine: str) -> Asked:
    return Asked(path="/hosts", host=host, engine=engine)


def _nowhere(host: str, path: str = "/hosts") -> Asked:
    return Asked(path=path, host=host, status=404, code="path_not_found", model="m")


HOSTS = Room(
    host=_HOST,
    objects=(
        route("hosts-exact", rule(matching("/hosts"), to="a"), hostnames=[_HOST, "second.example"]),
        route("hosts-wild", rule(matching("/hosts"), to="b"), hostnames=["*.hosts.example"]),
        route("hosts-deep", rule(matching("/hosts"), to="c"), hostnames=["*.deep.hosts.example"]),
        route("hosts-one", rule(matching("/hosts"), to="d"), hostnames=["one.deep.hosts.example"]),
    ),
    asked={
        "exactly": _at(_HOST, "a"),
        "with a port": _at(f"{_HOST}:8000", "a"),
        "in any case": _at("HOSTS.Example", "a"),
        "the second one": _at("Second.Example", "a"),
        "one label of a wildcard": _at("x.hosts.example", "b"),
        "two labels of a wildcard": _at("y.x.hosts.example", "b"),
        "the longer wildcard": _at("x.deep.hosts.example", "c"),
        "exactly before a wildcard": _at("one.deep.hosts.example", "d"),
        "a wildcard is not its own end": _at("deep.hosts.example", "b"),
        "another one": _nowhere("other.example"),
        "one that ends alike": _nowhere("nohosts.example"),
        "one that begins alike": _nowhere("hosts.example.org"),
        "an address": _nowhere("127.0.0.1"),
        "another path there": _nowhere(_HOST, "/other"),
    },
)
