"""Writes Events beside objects, for people; never in the way of the work, and at a rate of their own.

``record`` returns at once; ``run`` writes what ``event_backlog`` has put together. The name of an Event is a hash of
its words, so the same words raise a count, also after a restart of the process. What the server refuses for now (a
conflict, a storm, no answer) is tried again, later and later; what it refuses for good is logged. Who ends ``run``
waits for the last words, but not for long.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import AlreadyExists, ApiError, Conflict, NotFound
from rayfleet.kube.event_backlog import Backlog, Pending, Subject
from rayfleet.model.events import EventType
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import EVENTS
from rayfleet.objects.backoff import Backoff
from rayfleet.objects.meta import name_of, namespace_of, uid_of
from rayfleet.objects.times import encode_time

log = logging.getLogger(__name__)

_COUNT_LIMIT = 4096
_COUNT_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSettings:
    """``settle`` is how long words wait for others of their reason, of a warning ``settle_warning``.

    client-go tries twelve times as well.
    """

    settle: timedelta = timedelta(seconds=3)
    settle_warning: timedelta = timedelta(milliseconds=200)
    tries: int = 12
    first_backoff: timedelta = timedelta(seconds=1)
    longest_backoff: timedelta = timedelta(seconds=30)
    flush_limit: timedelta = timedelta(seconds=3)


class EventRecorder:
    """One per component; ``component`` is shown as the source."""

    def __init__(
        self,
        client: KubeClient,
        component: str,
        settings: EventSettings | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._component = component
        self._settings = settings or EventSettings()
        self._now = now
        self._backlog = Backlog()
        self._woken = asyncio.Event()
        self._counts: OrderedDict[ObjectKey, int] = OrderedDict()  # of Events written here

    @property
    def dropped(self) -> int:
        """Return how many notes had no room."""
        return self._backlog.dropped

    def record(
        self,
        about: ReadOnlyJson,
        *,
        reason: str,
        message: str,
        type: EventType = EventType.NORMAL,  # noqa: A002 - the API's word
    ) -> None:
        """Say something about the object ``about`` (its manifest, with apiVersion, kind and uid)."""
        reference = (
            ("apiVersion", about["apiVersion"]),
            ("kind", about["kind"]),
            ("name", name_of(about)),
            ("namespace", namespace_of(about)),
            ("uid", uid_of(about)),
        )
        subject = Subject(reference=reference, type=type, reason=reason)
        settings = self._settings
        wait = settings.settle if type is EventType.NORMAL else settings.settle_warning
        self._backlog.say(subject, message, self._seconds() + wait.total_seconds())
        self._woken.set()

    async def run(self) -> None:
        """Write what was recorded until cancelled; then write the rest, as far as ``flush_limit`` goes."""
        try:
            while True:
                pending = self._backlog.take(self._seconds())
                if pending is not None:
                    await self._written(pending)
                else:
                    await self._next()
        finally:
            await self._flush()

    async def _next(self) -> None:
        """Wait until something is due."""
        self._woken.clear()
        due_at = self._backlog.next_due()
        try:
            async with asyncio.timeout(None if due_at is None else max(0.0, due_at - self._seconds())):
                await self._woken.wait()
        except TimeoutError:
            pass

    async def _written(self, pending: Pending) -> bool:
        """Write one Event, or put it back; whether the server took it, or will never."""
        facts = {"reason": pending.subject.reason, "tries": pending.tries + 1}
        try:
            await self._write(pending)
        except ApiError as error:
            if not error.is_retryable or pending.tries + 1 >= self._settings.tries:
                log.warning("event not written", extra=facts | {"error": error.message})
                return not error.is_retryable
            backoff = Backoff(first=self._settings.first_backoff, longest=self._settings.longest_backoff)
            delay = backoff.delay(pending.tries + 1).total_seconds()
            self._backlog.put_back(pending, self._seconds() + delay)
            return False
        except asyncio.CancelledError:
            self._backlog.put_back(pending, self._seconds())
            raise
        return True

    async def _flush(self) -> None:
        try:
            async with asyncio.timeout(self._settings.flush_limit.total_seconds()):
                for pending in self._backlog.take_all():
                    if not await self._written(pending):
                        break  # a server that is away now is away for the rest
        except TimeoutError:
            log.warning("events not written", extra={"events": len(self._backlog)})

    async def _write(self, pending: Pending) -> None:
        manifest = self._manifest(pending)
        key = ObjectKey(namespace=namespace_of(manifest), name=name_of(manifest))
        for _ in range(_COUNT_TRIES):
            try:
                self._note(key, await self._create_or_count(key, manifest, pending.count))
            except Conflict:  # somebody else counts too
                self._counts.pop(key, None)
            else:
                return
        raise Conflict(f"Event {key} changes too fast", code=409, reason="Conflict")

    async def _create_or_count(self, key: ObjectKey, manifest: ReadOnlyJson, times: int) -> int:
        """Create an Event, or raise the count of the one that is there; return its count."""
        count = self._counts.get(key)
        try:
            if count is None:
                await self._client.create(EVENTS, manifest)
                return times
        except AlreadyExists:
            event = await self._client.get(EVENTS, key.name, key.namespace)
            count = int(event.get("count") or 1)
        try:
            await self._client.patch(EVENTS, key, {"count": count + times, "lastTimestamp": manifest["lastTimestamp"]})
        except NotFound:  # expired meanwhile
            await self._client.create(EVENTS, manifest)
            return times
        return count + times

    def _note(self, key: ObjectKey, count: int) -> None:
        self._counts[key] = count
        self._counts.move_to_end(key)
        if len(self._counts) > _COUNT_LIMIT:
            self._counts.popitem(last=False)

    def _seconds(self) -> float:
        return asyncio.get_running_loop().time()

    def _manifest(self, pending: Pending) -> Json:
        subject, message = pending.subject, pending.message
        words = repr((subject.reference, subject.type, subject.reason, message))
        reference = dict(subject.reference)
        now = encode_time(self._now())
        digest = hashlib.sha256(words.encode()).hexdigest()[:16]
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {
                "name": f"{reference['name'][:230]}.{digest}",
                "namespace": reference["namespace"] or "default",
            },
            "involvedObject": reference,
            "type": subject.type.value,
            "reason": subject.reason,
            "message": message,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": "",
            "count": pending.count,
            "firstTimestamp": now,
            "lastTimestamp": now,
        }
