"""Keeps a store equal to the API server: list once, then watch; list again when the watch cannot go on.

As client-go's Reflector and shared informer, for one event loop. Listeners hear (old, new): (None, new) added, (old,
new) changed, (old, None) gone; after a second list they hear the differences. A listener must be quick and must not
raise.

How soon it tries again depends on what went wrong: a watch that is too old (410) is followed by a list at once; a
server that takes no connection is tried every second or two, so that nobody stays blind after it is back; all else
waits longer and longer. A kind that the server does not know, or does not let us read, is an ``absence``: a fact for
whoever plans, told to ``subscribe_absence``; it is tried again every few seconds and ends by itself.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import ApiError, Forbidden, Gone, NotFound, TooManyRequests, Unreachable
from rayfleet.kube.store import Store, is_older
from rayfleet.kube.watching import WatchEvent, WatchEventType
from rayfleet.model.absence import Absence, forbidden_kind, no_such_kind
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import ResourceType
from rayfleet.objects.backoff import Backoff
from rayfleet.objects.meta import key_of, uid_of, version_of

log = logging.getLogger(__name__)

_SHORT_WATCH_SECONDS = 1  # a server that ends every watch at once must not be asked in a loop
_SAID_ABSENT = 3  # answers in a row that make an absence: a server that is just starting says 404 and 403 too

Listener = Callable[[ReadOnlyJson | None, ReadOnlyJson | None], None]
Trim = Callable[[ReadOnlyJson], ReadOnlyJson]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReflectorSettings:
    """Patience of a reflector. The jitter keeps many from listing at the same instant after a 410 or a restart.

    ``items_at_once``: after so many objects of a list the loop gets a turn, for who has streams on it; then what is new
    is told before what is gone. 0: a list is taken in one piece, as who decides on the whole needs it.
    """

    watch_timeout: timedelta = timedelta(minutes=5)
    stall_limit: timedelta = timedelta(seconds=90)
    first_backoff: timedelta = timedelta(milliseconds=200)
    longest_backoff: timedelta = timedelta(seconds=30)
    longest_backoff_refused: timedelta = timedelta(seconds=1.5)
    longest_backoff_absent: timedelta = timedelta(seconds=5)
    page_limit: int = 500
    items_at_once: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which objects of a kind a store holds, and what of each."""

    label_selector: str
    trim: Trim


def trimmed(manifest: ReadOnlyJson) -> ReadOnlyJson:
    """Return the object without ``managedFields``, which nobody here reads and which are half of it. Pure."""
    meta = manifest["metadata"]
    if "managedFields" not in meta:
        return manifest
    kept = {name: value for name, value in meta.items() if name != "managedFields"}
    return {**manifest, "metadata": kept}


class Reflector:
    """One kind, one namespace or all, one label selector. ``run`` does the work; ``store`` is the result."""

    def __init__(
        self,
        client: KubeClient,
        resource: ResourceType,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        trim: Trim = trimmed,
        settings: ReflectorSettings | None = None,
    ) -> None:
        self.resource = resource
        self.store = Store()
        self._client = client
        self._namespace = namespace
        self._label_selector = label_selector
        self._trim = trim
        self._settings = settings or ReflectorSettings()
        self._synced = asyncio.Event()
        self._settled = asyncio.Event()
        self._poked = asyncio.Event()
        self._listeners: list[Listener] = []
        self._absence_listeners: list[Callable[[], None]] = []
        self._version = ""  # where the next watch begins; empty: list first
        self._seen_version = ""
        self._last_failure: type[ApiError] | None = None
        self.failures_in_a_row = 0  # of the same type
        self.absence: Absence | None = None
        self.looks = 0  # lists and watches that were begun
        self._absent_look = 0  # the last of them that was answered by an absence

    @property
    def is_synced(self) -> bool:
        """Whether the first list is in the store."""
        return self._synced.is_set()

    async def synced(self) -> None:
        """Wait until the first list is in the store."""
        await self._synced.wait()

    async def settled(self) -> None:
        """Wait until the first list is in the store, or the kind is known to be absent."""
        await self._settled.wait()

    def is_given_up(self, look: int) -> bool:
        """Whether a look begun after ``looks`` was ``look`` met an absence: what was written till then stays unseen."""
        return self._absent_look > look

    def poke(self) -> None:
        """End the pause after a failure: somebody knows that the kind is there."""
        self._poked.set()

    def has_seen(self, version: str) -> bool:
        """Whether the store is at least as new as ``version`` of an object of this kind."""
        return self.is_synced and not is_older(self._seen_version, than=version)

    def subscribe(self, listener: Listener) -> None:
        """Call ``listener`` for each change from now on; subscribe before ``run`` to hear the first list."""
        self._listeners.append(listener)

    def subscribe_absence(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever ``absence`` begins or ends."""
        self._absence_listeners.append(listener)

    async def run(self) -> None:
        """List and watch until cancelled; failures are logged and tried again with back-off and jitter."""
        while True:
            try:
                await self._list_and_watch()
            except ApiError as error:
                await self._pause(self._delay_after(error))

    def _delay_after(self, error: ApiError) -> timedelta:
        """Take note of a failure and return how long to wait."""
        self.failures_in_a_row = self.failures_in_a_row + 1 if type(error) is self._last_failure else 1
        self._last_failure = type(error)
        facts = {"resource": self.resource.plural, "error": error.message, "failures": self.failures_in_a_row}
        level = logging.INFO if isinstance(error, Gone) or self.absence is not None else logging.WARNING
        log.log(level, "watch failed, trying again", extra=facts)
        if not isinstance(error, TooManyRequests | Unreachable):
            self._version = ""  # too old, or refused from here (a server put back to an older state): list again
        if isinstance(error, NotFound | Forbidden) and self.failures_in_a_row >= _SAID_ABSENT:
            self._absent_look = self.looks
            is_unknown = isinstance(error, NotFound)
            self._become(no_such_kind(self.resource) if is_unknown else forbidden_kind(self.resource, error.message))
        return self._backoff(error)

    def _backoff(self, error: ApiError) -> timedelta:
        """Return the pause after a failure, without jitter."""
        failures, longest = self.failures_in_a_row, self._settings.longest_backoff
        match error:
            case Gone():
                failures -= 1  # a list is what helps, and the first one costs no more than any other
            case Unreachable(is_refused=True):
                longest = min(longest, self._settings.longest_backoff_refused)
            case NotFound() | Forbidden():
                longest = min(longest, self._settings.longest_backoff_absent)
        delay = Backoff(first=self._settings.first_backoff, longest=longest).delay(failures)
        return delay + error.retry_after if isinstance(error, TooManyRequests) else delay

    async def _pause(self, delay: timedelta) -> None:
        """Wait, but for jitter (many must not list at one instant), unless poked."""
        if not delay:
            return
        self._poked.clear()
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay.total_seconds() * jitter):
                await self._poked.wait()

    def _become(self, absence: Absence | None) -> None:
        """Note whether the kind is absent, and tell it when that is news; of an unknown kind there is no object."""
        is_news = (absence is None) is not (self.absence is None)
        self.absence = absence
        if absence is not None and absence.is_empty:
            for key in self.store:
                self._tell(self.store.remove(key), None)
        self._settled.set()
        if not is_news:
            return
        if absence is not None:
            log.warning("kind is absent", extra={"resource": self.resource.plural, "error": absence.message})
        for listener in self._absence_listeners:
            listener()

    async def _list_and_watch(self) -> None:
        """Go on from the last version seen, or list first when there is none.

        Return when the server ended the watch.
        """
        self.looks += 1
        if not self._version:
            await self._list()
        events = self._client.watch(
            self.resource,
            self._namespace,
            resource_version=self._version,
            label_selector=self._label_selector,
            timeout=self._settings.watch_timeout,
            stall_limit=self._settings.stall_limit,
        )
        loop = asyncio.get_running_loop()
        started_at, is_silent = loop.time(), True
        async with contextlib.aclosing(events):
            async for event in events:
                self._take(event)
                self.failures_in_a_row, is_silent = 0, False
        if is_silent and loop.time() - started_at < _SHORT_WATCH_SECONDS:
            raise Unreachable("the watch ended at once without an event")
        self.failures_in_a_row = 0

    async def _list(self) -> None:
        listed = await self._client.list(
            self.resource, self._namespace, label_selector=self._label_selector, limit=self._settings.page_limit
        )
        if self._settings.items_at_once:
            await self._put_in_pieces(listed.items, self._settings.items_at_once)
        kept = {key_of(item) for item in listed.items}
        for key in self.store:
            if key not in kept:
                self._tell(self.store.remove(key), None)
        if not self._settings.items_at_once:
            for item in listed.items:
                self._put(item)
        self._version = self._seen_version = listed.resource_version
        self._synced.set()
        self._become(None)

    async def _put_in_pieces(self, items: Sequence[ReadOnlyJson], at_once: int) -> None:
        for number, item in enumerate(items, start=1):
            self._put(item)
            if not number % at_once:
                await asyncio.sleep(0)

    def _take(self, event: WatchEvent) -> None:
        match event.type:
            case WatchEventType.ADDED | WatchEventType.MODIFIED:
                self._put(event.object)
            case WatchEventType.DELETED:
                self.store.remove(key_of(event.object))
                self._tell(self._trim(event.object), None)
            case WatchEventType.BOOKMARK:
                pass
        self._version = self._seen_version = event.resource_version

    def _put(self, manifest: ReadOnlyJson) -> None:
        new = self._trim(manifest)
        old, is_taken = self.store.put(new)
        if not is_taken or (old is not None and _same_version(old, new)):
            return
        if old is not None and uid_of(old) != uid_of(new):
            self._tell(old, None)  # deleted and made again between two looks
            old = None
        self._tell(old, new)

    def _tell(self, old: ReadOnlyJson | None, new: ReadOnlyJson | None) -> None:
        for listener in self._listeners:
            listener(old, new)


def _same_version(one: ReadOnlyJson, other: ReadOnlyJson) -> bool:
    return version_of(one) == version_of(other)
