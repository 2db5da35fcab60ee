"""Keeps a store equal to the API server: list once, then watch; list again when the watch cannot go on.

As client-go's Reflector and shared informer, for one event loop. Listeners hear (old, new): (None, new) added, (old,
new) changed, (old, None) gone; after a second list they hear the differences. A listener must be quick and must not
raise.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import ApiError, Gone, TooManyRequests, Unreachable
from rayfleet.kube.store import Store, is_older
from rayfleet.kube.watching import WatchEvent, WatchEventType
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import ResourceType
from rayfleet.objects.backoff import Backoff
from rayfleet.objects.meta import key_of, uid_of, version_of

log = logging.getLogger(__name__)

_SHORT_WATCH_SECONDS = 1  # a server that ends every watch at once must not be asked in a loop

Listener = Callable[[ReadOnlyJson | None, ReadOnlyJson | None], None]
Trim = Callable[[ReadOnlyJson], ReadOnlyJson]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReflectorSettings:
    """Patience of a reflector. The jitter keeps many from listing at the same instant after a 410 or a restart."""

    watch_timeout: timedelta = timedelta(minutes=5)
    stall_limit: timedelta = timedelta(seconds=90)
    first_backoff: timedelta = timedelta(milliseconds=200)
    longest_backoff: timedelta = timedelta(seconds=30)
    page_limit: int = 500


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
        self._listeners: list[Listener] = []
        self._version = ""  # where the next watch begins; empty: list first
        self._seen_version = ""
        self.failures_in_a_row = 0

    @property
    def is_synced(self) -> bool:
        """Whether the first list is in the store."""
        return self._synced.is_set()

    async def synced(self) -> None:
        """Wait until the first list is in the store."""
        await self._synced.wait()

    def has_seen(self, version: str) -> bool:
        """Whether the store is at least as new as ``version`` of an object of this kind."""
        return self.is_synced and not is_older(self._seen_version, than=version)

    def subscribe(self, listener: Listener) -> None:
        """Call ``listener`` for each change from now on; subscribe before ``run`` to hear the first list."""
        self._listeners.append(listener)

    async def run(self) -> None:
        """List and watch until cancelled; failures are logged and tried again with back-off and jitter."""
        while True:
            try:
                await self._list_and_watch()
            except Gone:
                log.info("watch too old, listing again", extra={"resource": self.resource.plural})
                self._version = ""
                self.failures_in_a_row += 1
            except ApiError as error:
                self.failures_in_a_row += 1
                log.warning(
                    "watch failed, trying again",
                    extra={
                        "resource": self.resource.plural,
                        "error": error.message,
                        "failures": self.failures_in_a_row,
                    },
                )
                if isinstance(error, TooManyRequests):
                    await asyncio.sleep(error.retry_after.total_seconds())
                elif not isinstance(error, Unreachable):
                    self._version = ""  # refused from here (a server put back to an older state): list again
            if self.failures_in_a_row:
                await asyncio.sleep(self._backoff_seconds())

    async def _list_and_watch(self) -> None:
        """Go on from the last version seen, or list first when there is none.

        Return when the server ended the watch.
        """
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
        started_at, is_silent = monotonic(), True
        async with contextlib.aclosing(events):
            async for event in events:
                self._take(event)
                self.failures_in_a_row, is_silent = 0, False
        if is_silent and monotonic() - started_at < _SHORT_WATCH_SECONDS:
            raise Unreachable("the watch ended at once without an event")
        self.failures_in_a_row = 0

    async def _list(self) -> None:
        listed = await self._client.list(
            self.resource, self._namespace, label_selector=self._label_selector, limit=self._settings.page_limit
        )
        kept = {key_of(item) for item in listed.items}
        for key in self.store:
            if key not in kept:
                self._tell(self.store.remove(key), None)
        for item in listed.items:
            self._put(item)
        self._version = self._seen_version = listed.resource_version
        self._synced.set()

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

    def _backoff_seconds(self) -> float:
        backoff = Backoff(first=self._settings.first_backoff, longest=self._settings.longest_backoff)
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        return backoff.delay(self.failures_in_a_row).total_seconds() * jitter


def _same_version(one: ReadOnlyJson, other: ReadOnlyJson) -> bool:
    return version_of(one) == version_of(other)
