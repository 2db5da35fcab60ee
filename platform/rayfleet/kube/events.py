"""Writes Events beside objects, for people; never in the way of the work.

``record`` returns at once; ``run`` writes. The same words about the same object raise a count instead of making a new
Event (its name is a hash of them, so a restarted process goes on counting), many different messages of one reason are
combined, and each object has a small budget, as client-go's correlator does (10 similar in 10 minutes, 25 at once, then
one each five minutes).
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import AlreadyExists, ApiError, NotFound
from rayfleet.kube.throttle import TokenBucket
from rayfleet.model.events import EventType
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import EVENTS
from rayfleet.objects.times import encode_time

log = logging.getLogger(__name__)

_QUEUE_LIMIT = 1000
_OBJECT_LIMIT = 4096
_SIMILAR_LIMIT = 10
_SIMILAR_SECONDS = 600
_BURST_PER_OBJECT = 25
_RATE_PER_OBJECT = 1 / 300
_MESSAGE_LIMIT = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    """One thing to say about one object."""

    reference: tuple[tuple[str, str], ...]
    namespace: str
    type: EventType
    reason: str
    message: str


@dataclass(slots=True)
class _Budget:
    """What one object has said lately."""

    bucket: TokenBucket
    messages: dict[str, dict[str, float]] = field(default_factory=dict)


class EventRecorder:
    """One per component; ``component`` is shown as the source."""

    def __init__(
        self,
        client: KubeClient,
        component: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._component = component
        self._now = now
        self._queue: asyncio.Queue[_Note] = asyncio.Queue(_QUEUE_LIMIT)
        self._budgets: OrderedDict[str, _Budget] = OrderedDict()
        self.dropped = 0

    def record(
        self,
        about: ReadOnlyJson,
        *,
        reason: str,
        message: str,
        type: EventType = EventType.NORMAL,  # noqa: A002 - the API's word
    ) -> None:
        """Say something about the object ``about`` (its manifest, with apiVersion, kind and uid)."""
        meta = about["metadata"]
        note = _Note(
            reference=(
                ("apiVersion", about["apiVersion"]),
                ("kind", about["kind"]),
                ("name", meta["name"]),
                ("namespace", meta.get("namespace") or ""),
                ("uid", meta.get("uid") or ""),
            ),
            namespace=meta.get("namespace") or "default",
            type=type,
            reason=reason,
            message=message[:_MESSAGE_LIMIT],
        )
        note = self._combined(note)
        if self._budget(note).bucket.try_take() > 0:
            self.dropped += 1
            return
        try:
            self._queue.put_nowait(note)
        except asyncio.QueueFull:
            self.dropped += 1

    async def run(self) -> None:
        """Write what was recorded until cancelled; an Event that cannot be written is logged and forgotten."""
        while True:
            note = await self._queue.get()
            try:
                await self._write(note)
            except ApiError as error:
                log.warning("event not written", extra={"reason": note.reason, "error": error.message})

    def _budget(self, note: _Note) -> _Budget:
        subject = repr(note.reference)
        budget = self._budgets.get(subject)
        if budget is None:
            bucket = TokenBucket(
                rate_per_second=_RATE_PER_OBJECT, burst=_BURST_PER_OBJECT, clock=lambda: self._now().timestamp()
            )
            budget = self._budgets[subject] = _Budget(bucket=bucket)
            if len(self._budgets) > _OBJECT_LIMIT:
                self._budgets.popitem(last=False)
        self._budgets.move_to_end(subject)
        return budget

    def _combined(self, note: _Note) -> _Note:
        """Return the note, or one for all of its reason when there were many different messages lately."""
        now = self._now().timestamp()
        last_said = self._budget(note).messages.setdefault(f"{note.type}/{note.reason}", {})
        for message in [each for each, at in last_said.items() if now - at > _SIMILAR_SECONDS]:
            del last_said[message]
        if note.message not in last_said and len(last_said) >= _SIMILAR_LIMIT:
            return replace(note, message=f"(combined from similar events): {note.reason}")
        last_said[note.message] = now
        return note

    async def _write(self, note: _Note) -> None:
        manifest = self._manifest(note)
        try:
            await self._client.create(EVENTS, manifest)
        except AlreadyExists:
            await self._count(note, manifest)

    async def _count(self, note: _Note, manifest: ReadOnlyJson) -> None:
        key = ObjectKey(namespace=note.namespace, name=manifest["metadata"]["name"])
        try:
            event = await self._client.get(EVENTS, key.name, key.namespace)
            patch = {"count": (event.get("count") or 1) + 1, "lastTimestamp": manifest["lastTimestamp"]}
            await self._client.patch(EVENTS, key, patch)
        except NotFound:  # expired between the two calls
            await self._client.create(EVENTS, manifest)

    def _manifest(self, note: _Note) -> Json:
        words = repr((note.reference, note.type, note.reason, note.message))
        reference = dict(note.reference)
        now = encode_time(self._now())
        digest = hashlib.sha256(words.encode()).hexdigest()[:16]
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": f"{reference['name'][:230]}.{digest}", "namespace": note.namespace},
            "involvedObject": reference,
            "type": note.type.value,
            "reason": note.reason,
            "message": note.message,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": "",
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
        }
