"""Runs controllers: watch events become keys, keys become passes, failed passes come back later.

Level-based: a key says only that something about it may have changed. No two passes for one key overlap (``queue``).
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from rayfleet.kube.errors import Conflict
from rayfleet.kube.reflector import Listener, Reflector
from rayfleet.model.errors import RayfleetError
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.objects.meta import key_of, namespace_of
from rayfleet.objects.owners import controller_of
from rayfleet.reconciling.queue import QueueClosed, WorkQueue

log = logging.getLogger(__name__)

Keys = Callable[[ReadOnlyJson], Iterable[ObjectKey]]
Passed = Callable[[float, str], None]
"""Hears of each pass how many seconds it took and how it ended: ok, stale, failed, or fault (of our own)."""


_STALE_RETRY = timedelta(milliseconds=50)


class Reconciler(Protocol):
    """What a controller does for one key."""

    def is_current(self, key: ObjectKey) -> bool:
        """Whether the stores show all that earlier passes for ``key`` wrote; without that there is no pass."""
        ...

    def is_settled(self, key: ObjectKey) -> bool:
        """Whether the stores show all that passes for ``key`` do by an older spec than the one that they show."""
        ...

    async def reconcile(self, key: ObjectKey) -> timedelta | None:
        """Bring the object one step nearer its spec; return when to look again."""
        ...


def always(_old: ReadOnlyJson | None, _new: ReadOnlyJson | None) -> bool:
    """Return True: every change matters."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A reflector, which keys an object of it concerns, and which of its changes matter (old, new).

    ``is_resynced``: its objects are looked at again from time to time, in case an event was lost in our own code.
    ``is_optional``: the plan is told when the kind is absent and does without; of other kinds, what may not be read
    holds all passes back.
    """

    reflector: Reflector
    keys: Keys
    matters: Callable[[ReadOnlyJson | None, ReadOnlyJson | None], bool] = always
    is_resynced: bool = False
    is_optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeSettings:
    """``resync`` is how often objects of resynced watches are looked at again, spread by jitter.

    ``longest_backoff`` bounds how long a key waits that fails again and again. ``settle`` is how long a woken key waits
    for further changes that one pass can serve too. ``pace`` is the least time from one pass for a key to the next that
    a change asks for; the first one comes at once. ``status_hold`` is how long a status that may wait waits for more,
    that of an object which goes on changing up to four times as long (``status_holds``).
    """

    workers: int = 4
    resync: timedelta = timedelta(minutes=10)
    pass_limit: timedelta = timedelta(minutes=2)
    longest_backoff: timedelta = timedelta(seconds=60)
    settle: timedelta = timedelta(0)
    pace: timedelta = timedelta(0)
    status_hold: timedelta = timedelta(0)


def own_key(manifest: ReadOnlyJson) -> Iterable[ObjectKey]:
    """Return the object's own key. Pure."""
    return (key_of(manifest),)


def owner_key(kind: str) -> Keys:
    """Return a mapping from an object to the key of its controller of ``kind``. Pure."""

    def keys(manifest: ReadOnlyJson) -> Iterable[ObjectKey]:
        owner = controller_of(manifest)
        if owner is not None and owner.kind == kind:
            yield ObjectKey(namespace=namespace_of(manifest), name=owner.name)

    return keys


def primary(reflector: Reflector) -> Watch:
    """Return the watch of the kind that a controller is for: each object concerns its own key."""
    return Watch(reflector=reflector, keys=own_key, is_resynced=True)


class Controller:
    """One kind's loop. Make it before its reflectors run, so that it hears their first lists.

    ``may_begin`` says whether a pass for a key may begin now; it is asked again until it may.
    """

    def __init__(
        self,
        name: str,
        reconciler: Reconciler,
        watches: Sequence[Watch],
        settings: RuntimeSettings | None = None,
        passed: Passed = lambda _seconds, _result: None,
        may_begin: Callable[[ObjectKey], bool] = lambda _key: True,
    ) -> None:
        self.name = name
        self._passed = passed
        self._may_begin = may_begin
        self._settings = settings or RuntimeSettings()
        self.queue = WorkQueue(longest_backoff=self._settings.longest_backoff)
        self.passes = 0
        self.failed_passes = 0
        self._passed_at: dict[ObjectKey, float] = {}  # of the loop's clock; old ones go at each resync
        self._reconciler = reconciler
        self._watches = tuple(watches)
        for watch in self._watches:
            watch.reflector.subscribe(self._listener(watch))
            watch.reflector.subscribe_absence(self._wake_everything)

    def is_settled(self, key: ObjectKey) -> bool:
        """Whether the stores show all that passes for ``key`` do by an older spec than the one that they show."""
        return self._reconciler.is_settled(key)

    async def run(self) -> None:
        """Wait for the stores, then work until cancelled."""
        for watch in self._watches:
            await watch.reflector.settled()
        objects = sum(len(watch.reflector.store) for watch in self._watches if watch.is_resynced)
        log.info("controller started", extra={"controller": self.name, "objects": objects})
        try:
            async with asyncio.TaskGroup() as tasks:
                for number in range(self._settings.workers):
                    tasks.create_task(self._work(), name=f"{self.name}-{number}")
                tasks.create_task(self._resync(), name=f"{self.name}-resync")
        finally:
            self.queue.close()

    def _listener(self, watch: Watch) -> Listener:
        def hear(old: ReadOnlyJson | None, new: ReadOnlyJson | None) -> None:
            if not watch.matters(old, new):
                return
            for manifest in (old, new):  # both: a changed owner concerns the former one too
                for key in watch.keys(manifest) if manifest is not None else ():
                    self._wake(key)

        return hear

    def _wake(self, key: ObjectKey) -> None:
        passed_at = self._passed_at.get(key)
        delay = self._settings.settle
        if passed_at is not None:
            since = timedelta(seconds=asyncio.get_running_loop().time() - passed_at)
            delay = max(delay, self._settings.pace - since)
        if delay > timedelta(0):
            self.queue.add_after(key, delay)
        else:
            self.queue.add(key)

    async def _work(self) -> None:
        while True:
            try:
                key = await self.queue.get()
            except QueueClosed:
                return
            try:
                await self._pass(key)
            finally:
                self.queue.done(key)

    async def _pass(self, key: ObjectKey) -> None:
        """Run one pass, when it may begin; whatever it raises is logged and brings the key back later."""
        if not (self._reconciler.is_current(key) and self._may_begin(key)):
            self.queue.add_after(key, _STALE_RETRY)  # an event that it waits for may wake it sooner
            return
        try:
            await self._begun(key)
        finally:
            self._passed_at[key] = asyncio.get_running_loop().time()

    async def _begun(self, key: ObjectKey) -> None:
        self.passes += 1
        started_at = asyncio.get_running_loop().time()
        result = await self._reconciled(key)
        self._passed(asyncio.get_running_loop().time() - started_at, result)

    async def _reconciled(self, key: ObjectKey) -> str:
        """Reconcile; return how it ended, once it is settled when the key comes back."""
        facts = {"controller": self.name, "key": str(key)}
        try:
            async with asyncio.timeout(self._settings.pass_limit.total_seconds()):
                requeue_after = await self._reconciler.reconcile(key)
        except Conflict as error:
            self.queue.add_failed(key)
            log.debug("stale view, looking again", extra=facts | {"error": error.message})
            return "stale"
        except (RayfleetError, TimeoutError) as error:
            self.failed_passes += 1
            delay = self.queue.add_failed(key)
            log.warning("pass failed, trying again", extra=facts | {"error": str(error), "delay": str(delay)})
            return "failed"
        except Exception:
            self.failed_passes += 1
            self.queue.add_failed(key)
            log.exception("pass failed by a fault of ours, trying again", extra=facts)
            return "fault"
        self.queue.forget(key)
        if requeue_after is not None:
            self.queue.add_after(key, requeue_after)
        return "ok"

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(self._settings.resync.total_seconds() * random.uniform(0.9, 1.1))  # noqa: S311 - jitter
            old = asyncio.get_running_loop().time() - self._settings.pace.total_seconds()
            self._passed_at = {key: at for key, at in self._passed_at.items() if at > old}
            self._wake_everything()

    def _wake_everything(self) -> None:
        for watch in self._watches:
            if watch.is_resynced:
                self._wake_all(watch)

    def _wake_all(self, watch: Watch) -> None:
        for manifest in watch.reflector.store.list():
            for key in watch.keys(manifest):
                self._wake(key)
