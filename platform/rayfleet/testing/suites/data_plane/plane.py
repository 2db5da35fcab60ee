"""What a data plane is to the suite: objects go in, bytes come out, and `/metrics` tells what became of requests."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from rayfleet.model.json import ReadOnlyJson

HEAD_SECONDS, BODY_SECONDS, IDLE_SECONDS, DRAIN_SECONDS = 2.0, 2.0, 3.0, 4.0


class Capability(StrEnum):
    """What a plane may lack; a class of cases for each is left out where it is declared in ``lacks``."""

    PATTERNS = "regular expressions in paths, headers and query parameters"
    REWRITES = "the filter URLRewrite"
    REDIRECTS = "the filter RequestRedirect"
    FORMS = "the model of a multipart form"
    PACKED_BODIES = "the model of a compressed body"
    HTTP_1_0 = "clients of HTTP/1.0"
    PIPELINING = "pipelined requests"
    EJECTION = "engines that fail are taken out"
    DRAIN = "a stop that breaks no answer"
    TRUTH = "an answer that broke never looks whole, and ends with an event where it is a stream"


class DataPlane(Protocol):
    """A plane that runs as a process (or more), with the deadlines that stand above, in seconds.

    ``HEAD_SECONDS`` for a whole head, ``BODY_SECONDS`` for a body to begin, ``IDLE_SECONDS`` for a silence within an
    answer, ``DRAIN_SECONDS`` for what runs when it is told to stop. Everything else is as it is by default: heads of 64
    KiB and 100 fields, bodies of 64 MiB.
    """

    @property
    def port(self) -> int:
        """The port of clients, on 127.0.0.1."""

    @property
    def metrics_port(self) -> int:
        """The port of ``/metrics``, on 127.0.0.1."""

    def apply(self, objects: Sequence[ReadOnlyJson]) -> None:
        """Let these be all the objects there are; blocking. They are live a moment later."""

    def terminate(self) -> None:
        """Tell it to stop, as a kubelet does (SIGTERM)."""

    def ended(self, limit_seconds: float) -> int:
        """Return its exit code; blocking. Raises when it does not end in time."""
