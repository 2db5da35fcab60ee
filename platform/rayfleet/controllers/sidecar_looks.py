"""Asks the sidecars of head pods what only they can tell: one question of the heads that it concerns, every so often.

Which questions there are is ``sidecar_questions``'. Heads are asked by their own address, few at a time; what is news
wakes their replica set. It is memory of this process alone: another controller asks anew. A sidecar is not ours to
trust: it has little time and few bytes, is followed nowhere, and what it says is the question's to make sense of.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar

import aiohttp

from rayfleet.kube.reflector import Reflector
from rayfleet.kube.server_clock import local_time
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.meta import is_terminating, uid_of
from rayfleet.objects.owners import controller_uid
from rayfleet.objects.pods import is_head, pod_address
from rayfleet.planning.replica_set.drain import sidecar_port

log = logging.getLogger(__name__)

_ANSWER_BYTES = 4096  # a count, or a reason and a sentence, and room for more
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a sidecar answered: any status, and a body of any bytes."""

    status: int
    body: bytes


class Ask(Protocol):
    """How a sidecar is asked."""

    async def __call__(self, address: str, port: int, path: str) -> Reply | None:
        """Return its answer, None without a whole one in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Generic[_T]):
    """What is asked, of which heads, how often, and what becomes known by the answers; all functions are pure.

    ``look_after`` gets what was known before (None: it was not asked yet), the answer (None: there is none), the head
    and the time. ``is_news`` says whether a plan may come out otherwise by what is known now.
    """

    path: str
    every: timedelta
    concerns: Callable[[ReadOnlyJson], bool]
    look_after: Callable[[_T | None, Reply | None, ReadOnlyJson, datetime], _T]
    is_news: Callable[[_T | None, _T], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class LookSettings:
    """How long an answer may take, and how many sidecars are asked one question at once."""

    patience: timedelta = timedelta(seconds=1)
    connections: int = 16


@dataclass(slots=True)
class SidecarLooks(Generic[_T]):
    """What is known by the sidecars of the pods in ``pods`` that a question concerns; ``run`` asks them."""

    pods: Reflector
    question: Question[_T]
    settings: LookSettings = field(default_factory=LookSettings)
    ask: Ask | None = None
    now: Callable[[], datetime] = local_time
    _heads: dict[str, ReadOnlyJson] = field(default_factory=dict)  # both by the UID of the Ray cluster
    _looks: dict[str, _T] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Hear of pods from the first list on."""
        self.pods.subscribe(self.hear)

    def looks(self) -> Mapping[str, _T]:
        """Return a view of what is known, by the UID of the Ray cluster."""
        return MappingProxyType(self._looks)

    async def run(self, wake: Callable[[ReadOnlyJson], None]) -> None:
        """Ask until cancelled; ``wake`` gets the heads of which there is news."""
        async with AsyncExitStack() as stack:
            ask = self.ask if self.ask is not None else await stack.enter_async_context(asking(self.settings))
            while True:
                self._changed.clear()
                if not self._heads:
                    await self._changed.wait()
                await asyncio.gather(*(self._look(owner, ask, wake) for owner in list(self._heads)))
                await asyncio.sleep(self.question.every.total_seconds())

    def hear(self, old: ReadOnlyJson | None, new: ReadOnlyJson | None) -> None:
        """Note whom the question concerns from now on, or no more."""
        pod = new if new is not None else old
        owner = controller_uid(pod) if pod is not None else None
        if pod is None or owner is None:
            return
        is_same = owner in self._heads and uid_of(self._heads[owner]) == uid_of(pod)
        if new is not None and is_head(new) and not is_terminating(new) and self.question.concerns(new):
            if not is_same:
                self._looks.pop(owner, None)
            self._heads[owner] = new
            self._changed.set()
        elif is_same:
            self._heads.pop(owner)
            self._looks.pop(owner, None)

    async def _look(self, owner: str, ask: Ask, wake: Callable[[ReadOnlyJson], None]) -> None:
        head = self._heads.get(owner)
        port = sidecar_port(head) if head is not None else None
        if head is None or port is None or not pod_address(head):
            return
        reply = await ask(pod_address(head), port, self.question.path)
        asked = self._heads.get(owner)
        if asked is None or uid_of(asked) != uid_of(head):  # it went while it was asked
            return
        before = self._looks.get(owner)
        self._looks[owner] = after = self.question.look_after(before, reply, head, self.now())
        log.debug(
            "asked a sidecar", extra={"pod": uid_of(head), "path": self.question.path, "answered": reply is not None}
        )
        if self.question.is_news(before, after):
            wake(head)


@asynccontextmanager
async def asking(settings: LookSettings) -> AsyncIterator[Ask]:
    """Ask over HTTP for the length of the block; who waits for a turn loses nothing of its time."""
    timeout = aiohttp.ClientTimeout(total=settings.patience.total_seconds())
    turns = asyncio.Semaphore(settings.connections)
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(timeout=timeout, cookie_jar=jar, auto_decompress=False) as session:

        async def ask(address: str, port: int, path: str) -> Reply | None:
            host = f"[{address}]" if ":" in address else address
            try:
                async with turns, session.get(f"http://{host}:{port}{path}", allow_redirects=False) as response:
                    body = await _bounded(response.content)
                    return Reply(status=response.status, body=body) if body is not None else None
            except (aiohttp.ClientError, TimeoutError, OSError):
                return None

        yield ask


async def _bounded(content: aiohttp.StreamReader) -> bytes | None:
    """Return a whole body, None for one that is too long."""
    body = bytearray()
    async for chunk in content.iter_chunked(_ANSWER_BYTES):
        body += chunk
        if len(body) > _ANSWER_BYTES:
            return None
    return bytes(body)
