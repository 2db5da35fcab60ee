"""A client that dies at a chosen write: what a controller process killed there would have done to the API server.

Reads and watches go on; after the fatal write every other one fails too, so nothing more is written by this life.
"""

import asyncio
from enum import StrEnum

from rayfleet.kube.address import KubeAddress
from rayfleet.kube.client import KubeClient, Request
from rayfleet.kube.errors import Unreachable


class Loss(StrEnum):
    """What is lost with the fatal write: the request never arrives, or it is carried out and nobody hears of it."""

    REQUEST = "request"
    REPLY = "reply"


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
        if request.method == "GET" or "/events" in request.path:
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
