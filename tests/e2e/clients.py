"""Clients of a fleet as users are: some ask short questions, some read long streams. All by the gateway."""

import contextlib
import http.client
import itertools
import json
import math
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rayfleet.testing.machine import QUESTION, Machine
from rayfleet.testing.waiting import wait_until

ANSWER_SECONDS = 120  # for one short answer: twenty streams may be before it
STREAM_SECONDS = 600  # between two tokens of a long stream, on a machine that loads models beside it
DONE = b"data: [DONE]"
_LOOK_SECONDS = 0.2
_MOMENT = 0.5


@dataclass(slots=True)
class Client:
    """Asks again and again, with a pause; what did not succeed is kept.

    ``retries`` of a question are made, as OpenAI's own client makes two: no gateway may repeat a question whose answer
    broke off.
    """

    machine: Machine
    pause_seconds: float = 0.2
    retries: int = 0
    answers: int = 0
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self._stop.wait(self.pause_seconds):
            problems = list(itertools.takewhile(bool, (self._problem() for _ in range(self.retries + 1))))
            if len(problems) > self.retries:
                self.failures.append("; ".join(problems))
            else:
                self.answers += 1

    def _problem(self) -> str:
        """Ask once; return what went wrong, empty when nothing did."""
        began = time.monotonic()
        try:
            ask(self.machine)
        except (OSError, http.client.HTTPException, KeyError, ValueError) as error:
            body = error.read().decode() if isinstance(error, urllib.error.HTTPError) else ""
            return f"after {time.monotonic() - began:.1f} s: {type(error).__name__} {error} {body}"
        return ""

    def stop(self) -> None:
        self._stop.set()


@contextlib.contextmanager
def asking(machine: Machine, clients: int = 2, *, retries: int = 0, pause_seconds: float = 0.2) -> Iterator[Client]:
    """Let so many clients ask, counted as one, and wait for their last answers at the end."""
    client = Client(machine, pause_seconds, retries)
    threads = [threading.Thread(target=client.run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield client
    finally:
        client.stop()
        for thread in threads:
            thread.join(timeout=ANSWER_SECONDS)


@dataclass(slots=True)
class Stream:
    """A long answer as it comes; ``end`` is empty until it has ended, ``[DONE]`` if it ended well.

    ``asked_at`` and ``ended_at`` are by the monotonic clock.
    """

    machine: Machine
    tokens: int
    has_begun: threading.Event = field(default_factory=threading.Event)
    node: str = ""
    events: int = 0
    end: str = ""
    asked_at: float = field(default_factory=time.monotonic)
    ended_at: float = math.inf

    def run(self) -> None:
        extra = {"stream": True, "ignore_eos": True}
        try:
            with posted(self.machine, self.tokens, extra, STREAM_SECONDS) as response:
                self.node = response.headers.get("X-Rayfleet-Node", "")
                self._read(response)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.end = f"{type(error).__name__}: {error}"
        finally:
            self.end = self.end or "cut off"
            self.ended_at = time.monotonic()
            self.has_begun.set()

    def _read(self, response: Any) -> None:
        for line in response:
            if line.startswith(DONE):
                self.end = "[DONE]"
            elif line.startswith(b'data: {"error"'):
                self.end = line.decode().strip()
            elif line.startswith(b"data: "):
                self.events += 1
                self.has_begun.set()


class Streams:
    """So many streams at once: one that has ended is followed by another while it is time for that."""

    def __init__(self, machine: Machine, tokens: int, is_time: Callable[[], bool]) -> None:
        self._machine = machine
        self._tokens = tokens
        self._is_time = is_time
        self._enough = threading.Event()
        self.made: list[Stream] = []

    def run(self) -> None:
        while not self._enough.is_set():
            if not self._is_time():
                self._enough.wait(_LOOK_SECONDS)
                continue
            stream = Stream(self._machine, self._tokens)
            self.made.append(stream)
            stream.run()

    def stop(self) -> None:
        self._enough.set()

    def have_begun(self, count: int) -> bool:
        """Whether the first so many have their first token."""
        return len(self.made) >= count and all(stream.has_begun.is_set() for stream in self.made[:count])

    def under_way(self, at: float) -> int:
        """Return how many were under way then; one that follows another begins a moment after its end."""
        return sum(stream.asked_at < at + _MOMENT and stream.ended_at > at - _MOMENT for stream in self.made)

    @property
    def broken(self) -> list[str]:
        """How those ended that did not end well, each with the node that it came from and its events."""
        return [f"{stream.node} after {stream.events}: {stream.end}" for stream in self.made if stream.end != "[DONE]"]


@contextlib.contextmanager
def streaming(machine: Machine, streams: int, tokens: int, is_time: Callable[[], bool]) -> Iterator[Streams]:
    """Have that many streams under way whenever it is time, from the first tokens on; all have ended when this does."""
    running = Streams(machine, tokens, is_time)
    threads = [threading.Thread(target=running.run) for _ in range(streams)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: running.have_begun(streams), "every stream has begun", 240)
        yield running
    finally:
        running.stop()
        for thread in threads:
            thread.join(timeout=STREAM_SECONDS)


def ask(machine: Machine) -> None:
    """Ask for one token. Raises OSError for no answer, ValueError and KeyError for a wrong one."""
    with posted(machine, 1, {}, ANSWER_SECONDS) as response:
        json.load(response)["choices"][0]["message"]["content"]


def posted(machine: Machine, tokens: int, extra: dict[str, Any], limit: float) -> Any:
    """Return the gateway's open answer."""
    body = {"model": "smollm2", "messages": QUESTION, "temperature": 0, "max_tokens": tokens, **extra}
    request = urllib.request.Request(  # noqa: S310 - our own gateway on loopback
        f"{machine.url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    return urllib.request.urlopen(request, timeout=limit)  # noqa: S310 - as above
