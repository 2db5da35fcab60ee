"""A room of the suite's fixed routes: objects, and requests with what must come of each. Pure data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rayfleet.model.json import Json
from rayfleet.testing.suites.data_plane.plane import Capability

ENGINES = ("a", "b", "c", "d", "e", "f", "recorded")
"""Services of the routes' own namespace, each with an engine that tells its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, and what must come of it: the name of an ``engine``, or a status, with a code where it is an error.

    ``model`` is named in the body, or else ``body`` stands; without both there is none. ``host`` is the room's where it
    is empty. ``needs`` is what a plane may lack.
    """

    path: str
    engine: str = ""
    status: int = 200
    code: str = ""
    method: str = "POST"
    host: str = ""
    headers: Sequence[str] = ()
    model: str = ""
    body: bytes | None = None
    needs: Sequence[Capability] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Routes for a host name, and requests to it, by a word about each."""

    host: str
    objects: Sequence[Json]
    asked: Mapping[str, Asked]
