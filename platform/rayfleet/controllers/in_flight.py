"""Asks the sidecars of drained replicas how many requests still run, about once a second each.

Only heads that were taken out of their Service are asked, by their own address; what they say wakes their replica set
when it lets it go on (``planning.replica_set.drain``). It is memory of this process alone: another controller asks
anew, and waits a little longer. Nothing here is believed for longer than a drain may last.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

import aiohttp
import orjson

from rayfleet.kube.reflector import Reflector
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.labels import DRAINING_ANNOTATION
from rayfleet.objects.meta import annotation, is_terminating, uid_of
from rayfleet.objects.owners import controller_uid
from rayfleet.objects.parts import mapping, whole_number
from rayfleet.objects.pods import is_head, pod_address
from rayfleet.objects.times import decode_time
from rayfleet.planning.observed import InFlight
from rayfleet.planning.replica_set.drain import FAILED_LOOKS, IDLE_LOOKS, SETTLING, sidecar_port

log = logging.getLogger(__name__)

_PATH = "/inflight"
_ANSWER_BYTES = 4096  # {"in_flight": N} and room for more


class Ask(Protocol):
    """How a sidecar is asked."""

    async def __call__(self, address: str, port: int) -> int | None:
        """Return how many requests run, None when there is no answer that says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainSettings:
    """How often sidecars are asked, how long an answer may take, and how many are asked at once."""

    every: timedelta = timedelta(seconds=1)
    patience: timedelta = timedelta(seconds=1)
    connections: int = 16


@dataclass(slots=True)
class InFlightLooks:
    """What was said by the sidecars of the pods in ``pods`` that are drained; ``run`` asks them."""

    pods: Reflector
    settings: DrainSettings = field(default_factory=DrainSettings)
    ask: Ask | None = None
    _heads: dict[str, ReadOnlyJson] = field(default_factory=dict)
    _looks: dict[str, InFlight] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Hear of pods from the first list on."""
        self.pods.subscribe(self.hear)

    def looks(self) -> Mapping[str, InFlight]:
        """Return what was said last, by the UID of the Ray cluster."""
        return {controller_uid(head) or "": self._looks[uid] for uid, head in self._heads.items() if uid in self._looks}

    async def run(self, wake: Callable[[ReadOnlyJson], None]) -> None:
        """Ask until cancelled; ``wake`` gets the head that may go on."""
        async with AsyncExitStack() as stack:
            ask = self.ask if self.ask is not None else await stack.enter_async_context(asking(self.settings))
            while True:
                self._changed.clear()
                if not self._heads:
                    await self._changed.wait()
                await asyncio.gather(*(self._look(head, ask, wake) for head in list(self._heads.values())))
                await asyncio.sleep(self.settings.every.total_seconds())

    def hear(self, old: ReadOnlyJson | None, new: ReadOnlyJson | None) -> None:
        """Note who is drained from now on, or no more."""
        if new is not None and is_head(new) and annotation(new, DRAINING_ANNOTATION) and not is_terminating(new):
            self._heads[uid_of(new)] = new
            self._changed.set()
        elif old is not None:
            self._heads.pop(uid_of(old), None)
            self._looks.pop(uid_of(old), None)

    async def _look(self, head: ReadOnlyJson, ask: Ask, wake: Callable[[ReadOnlyJson], None]) -> None:
        uid, port, address = uid_of(head), sidecar_port(head), pod_address(head)
        if port is None or not address:
            return
        requests = await ask(address, port)
        if uid not in self._heads:  # it went while it was asked
            return
        before = self._looks.get(uid, InFlight())
        self._looks[uid] = seen = look_after(before, requests, is_settled=_is_settled(head, datetime.now(UTC)))
        log.debug("asked a drained replica", extra={"pod": uid, "requests": requests})
        if seen.idle_looks >= IDLE_LOOKS or seen.failed_looks >= FAILED_LOOKS:
            wake(head)


@asynccontextmanager
async def asking(settings: DrainSettings) -> AsyncIterator[Ask]:
    """Ask over HTTP for the length of the block, with few connections and a limit to each answer."""
    timeout = aiohttp.ClientTimeout(total=settings.patience.total_seconds())
    connector = aiohttp.TCPConnector(limit=settings.connections)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:

        async def ask(address: str, port: int) -> int | None:
            host = f"[{address}]" if ":" in address else address
            try:
                async with session.get(f"http://{host}:{port}{_PATH}", allow_redirects=False) as response:
                    return in_flight_in(response.status, await response.content.read(_ANSWER_BYTES))
            except (aiohttp.ClientError, TimeoutError, OSError):
                return None

        yield ask


def look_after(before: InFlight, requests: int | None, *, is_settled: bool) -> InFlight:
    """Return what is known after one more look; no answer (None) keeps the last count. Pure.

    An idle look counts only when gateways have surely seen that the replica left.
    """
    if requests is None:
        return InFlight(requests=before.requests, failed_looks=before.failed_looks + 1)
    idle = before.idle_looks + 1 if is_settled and requests == 0 else 0
    return InFlight(requests=requests, idle_looks=idle)


def _is_settled(head: ReadOnlyJson, now: datetime) -> bool:
    since = decode_time(annotation(head, DRAINING_ANNOTATION))
    return since is not None and now >= since + SETTLING


def in_flight_in(status: int, body: bytes) -> int | None:
    """Return the count in a sidecar's answer, None when it has none. Pure."""
    try:
        answer = mapping(orjson.loads(body))
    except orjson.JSONDecodeError:
        return None
    count = whole_number(answer.get("in_flight"), -1)
    return count if status == 200 and count >= 0 else None
