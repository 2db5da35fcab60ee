"""What is noted about a request while it runs, and the one accounting event at its end."""

import asyncio
from enum import Enum, auto

from aiohttp import web

from rayfleet_gateway.answer.events import EventWatch
from rayfleet_gateway.model.values import Outcome, Result
from rayfleet_gateway.request.headers import request_id

UNKNOWN = "unknown"


class Phase(Enum):
    """Who is waited for."""

    ASKED = auto()  # the endpoint, for the first byte of its answer
    READING = auto()  # the endpoint, for more
    WRITING = auto()  # the client


class ExchangeNote:
    """Made in the task that serves the request.

    ``label`` is the model's name for metrics: a routed one, or ``unknown``.
    """

    def __init__(self, request: web.Request) -> None:
        self.request = request
        self.request_id = request_id(request.headers)
        self.model = self.label = UNKNOWN
        self.status = 0
        self.result = Result.FAILED
        self.phase = Phase.ASKED
        self.response: web.StreamResponse | None = None
        self.watch: EventWatch | None = None
        self.is_cut = False
        self.started = asyncio.get_running_loop().time()
        self._first_byte_seconds: float | None = None
        self._task = asyncio.current_task()

    def name_model(self, model: str, *, is_known: bool) -> None:
        """Note the model; one that no route names stays out of the labels."""
        self.model = model
        self.label = model if is_known else UNKNOWN

    def begin(self, response: web.StreamResponse, watch: EventWatch | None) -> None:
        """Note that the answer begins."""
        self.response = response
        self.watch = watch
        self.phase = Phase.READING
        self._first_byte_seconds = asyncio.get_running_loop().time() - self.started

    def cut(self) -> None:
        """Interrupt the exchange; it ends with an error of ours."""
        if self._task is not None:
            self.is_cut = True
            self._task.cancel()

    def uncancel(self) -> None:
        """Take ``cut`` back from the task, which still has the error to write."""
        if self._task is not None:
            self._task.uncancel()

    def outcome(self) -> Outcome:
        """Return the accounting event."""
        return Outcome(
            model=self.label,
            status=self.status,
            result=self.result,
            seconds=asyncio.get_running_loop().time() - self.started,
            first_byte_seconds=self._first_byte_seconds,
        )
