"""Clients with faults, for tests of whatever writes through them.

``MortalClient`` dies at a chosen write, as a killed process would: reads and watches go on, after the fatal write every
other one fails too. ``FlakyClient`` fails now and then in every way that an API server has, from a seed.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum

from rayfleet.kube.address import KubeAddress
from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import Conflict, Gone, ServerError, Unreachable
from rayfleet.kube.requests import Request


class Loss(StrEnum):
    """What is lost with the fatal write: the request never arrives, or it is carried out and nobody hears of it."""

    REQUEST = "request"
    REPLY = "reply"


WRITE_FAULTS = ("conflict", "refused", "request lost", "reply lost")


class MortalClient(KubeClient):
    """Survives ``writes`` writes; the next one is fatal. Events do not count: they decide nothing."""

    def __init__(self, address: KubeAddress, *, writes: int, loss: Loss) -> None:
        super().__init__(address)
        self.died = asyncio.Event()
        self.written = 0
        self._left = writes
        self._loss = loss

    async def send(self, request: Request) -> bytes:
        """Send a request, or die of it."""
        if not _is_deciding(request):
            return await super().send(request)
        if self.died.is_set():
            raise Unreachable("this process is dead")
        if self._left:
            self._left -= 1
            self.written += 1
            return await super().send(request)
        self.died.set()
        if self._loss is Loss.REPLY:
            self.written += 1
            await super().send(request)
        raise Unreachable(f"killed at {request.method} {request.path}, {self._loss} lost")


class FlakyClient(KubeClient):
    """A share of all writes is refused, lost, or carried out with its reply lost: one of ``faults``, by chance.

    A share of all watch chunks ends the watch.
    """

    def __init__(self, address: KubeAddress, *, seed: int, share: float, faults: Sequence[str] = WRITE_FAULTS) -> None:
        super().__init__(address)
        self.faults = 0
        self._faults = tuple(faults)
        self._random = random.Random(seed)  # noqa: S311 - a test's dice, to be thrown again
        self._share = share

    async def send(self, request: Request) -> bytes:
        """Send a request, or fail."""
        if not _is_deciding(request) or not self._is_struck():
            return await super().send(request)
        fault = self._random.choice(self._faults)
        if fault == "conflict":
            raise Conflict("a storm of conflicts", code=409, reason="Conflict")
        if fault == "refused":
            raise ServerError("a storm of failures", code=503)
        if fault == "reply lost":
            await super().send(request)
        raise Unreachable(fault)

    async def stream(
        self, path: str, query: Mapping[str, str] | None = None, stall_limit: timedelta | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield a body until a fault: the connection breaks, or the version is gone."""
        async for chunk in super().stream(path, query, stall_limit):
            if self._is_struck():
                raise self._random.choice((Unreachable("broken"), Gone("too old", code=410)))
            yield chunk

    def _is_struck(self) -> bool:
        is_struck = self._random.random() < self._share
        self.faults += is_struck
        return is_struck


def _is_deciding(request: Request) -> bool:
    return request.method != "GET" and "/events" not in request.path
