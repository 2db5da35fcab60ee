"""Everything that a plane serves for the suite: one set of objects, made once, with endpoints of its own for each test.

A test that makes an engine fail must not share it: planes take failing endpoints out. So there are more models than
tests; each test takes the next one. Sockets are bound at first and listen when a test opens them.
"""

import socket
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Self

from rayfleet.model.json import Json
from rayfleet.testing.suites.data_plane.objects import OTHER, Address, matching, route, rule, served
from rayfleet.testing.suites.data_plane.rooms import ROOMS
from rayfleet.testing.suites.data_plane.rooms.models import NAME
from rayfleet.testing.suites.data_plane.rooms.room import ENGINES

HOST = "gw.example"
_RULES_OF_A_ROUTE = 16
_OF_OTHERS = (NAME, "granted", "not-granted")  # Services of another namespace


_PLAIN: Mapping[str, Any] = MappingProxyType({})


class Kind(Enum):
    """What models there are for tests: their name, how many of them, endpoints of each, more fields of their rule."""

    ONE = ("one", 208, 1, _PLAIN)
    PAIR = ("pair", 8, 2, _PLAIN)
    FOUR = ("four", 16, 4, _PLAIN)
    HASTY = ("hasty", 4, 1, MappingProxyType({"timeouts": {"request": "1600ms"}}))
    PATIENT = ("patient", 2, 2, MappingProxyType({"timeouts": {"request": "20s", "backendRequest": "1600ms"}}))

    def __init__(self, prefix: str, count: int, endpoints: int, more: Mapping[str, Any]) -> None:
        self.prefix = prefix
        self.count = count
        self.endpoints = endpoints
        self.more = more


class Sockets:
    """A bound socket for each endpoint; ``with`` closes them. ``named``: by the Service of a fixed route."""

    def __init__(self, address: str, kinds: Iterable[Kind] = Kind) -> None:
        self._address = address
        self.named = {name: self._bound() for name in (*ENGINES, *_OF_OTHERS)}
        self._models = {
            kind: [
                (f"{kind.prefix}-{number:03}", [self._bound() for _ in range(kind.endpoints)])
                for number in range(kind.count)
            ]
            for kind in kinds
        }
        self._next = {kind: iter(models) for kind, models in self._models.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        models = (sockets for models in self._models.values() for _, sockets in models)
        for sock in (*self.named.values(), *(sock for sockets in models for sock in sockets)):
            sock.close()

    def take(self, kind: Kind) -> tuple[str, list[socket.socket]]:
        """Return a model that nobody had, and its endpoints' sockets. Raises LookupError where ``Kind`` has too few."""
        taken = next(self._next[kind], None)
        if taken is None:
            raise LookupError(f"all {kind.count} models of the kind {kind.prefix} are taken: give Kind more")
        return taken

    def take_one(self) -> socket.socket:
        """Return the socket of a model that nobody had, for routes of a test's own."""
        return self.take(Kind.ONE)[1][0]

    def objects(self) -> tuple[Json, ...]:
        """Return all objects."""
        addresses = {name: [_address(sock)] for name, sock in self.named.items()}
        fixed = [
            *(each for name in ENGINES for each in served(name, addresses[name])),
            *(each for name in _OF_OTHERS for each in served(name, addresses[name], namespace=OTHER)),
            *(each for room in ROOMS for each in room.objects),
        ]
        return (*fixed, *(each for kind in self._models for each in self._of(kind)))

    def _of(self, kind: Kind) -> Iterator[Json]:
        models = self._models[kind]
        for name, sockets in models:
            yield from served(name, [_address(sock) for sock in sockets])
        for start in range(0, len(models), _RULES_OF_A_ROUTE):
            rules = [
                rule(matching(model=name), to=name, **kind.more)
                for name, _ in models[start : start + _RULES_OF_A_ROUTE]
            ]
            yield route(f"{kind.prefix}-{start:03}", *rules, hostnames=[HOST])

    def _bound(self) -> socket.socket:
        sock = socket.socket()
        sock.bind((self._address, 0))
        return sock


def _address(sock: socket.socket) -> Address:
    host, port = sock.getsockname()
    return str(host), int(port)
