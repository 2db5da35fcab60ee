"""The kinds that a process watches: one reflector each for all who read them, and a wake-up for who looks at the whole.

Who acts on single objects subscribes to a reflector (``reconciling``); who looks at everything each time (the node's
scheduler, the gateway's table) waits for ``changes``.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Protocol

from rayfleet.kube.client import KubeClient
from rayfleet.kube.reflector import Reflector, ReflectorSettings, Selection, trimmed
from rayfleet.kube.store import Store
from rayfleet.model.absence import Absence
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import ResourceType

_WHOLE = Selection(label_selector="", trim=trimmed)


class Stores(Protocol):
    """What a pass reads: a store of each kind, kept by reflectors or filled by a test."""

    def store(self, resource: ResourceType) -> Store:
        """Return the store of a kind."""

    def absences(self, resources: Iterable[ResourceType]) -> Mapping[ResourceType, Absence]:
        """Return which of the kinds cannot be read now, and why."""


class Reflectors(Mapping[ResourceType, Reflector]):
    """One reflector a kind, in one namespace or in all (None); ``run`` keeps them. ``settings`` are the reflectors'.

    ``selections`` are of the kinds that are not held whole.
    """

    def __init__(
        self,
        client: KubeClient,
        kinds: Iterable[ResourceType],
        namespace: str | None = None,
        settings: ReflectorSettings | None = None,
        selections: Mapping[ResourceType, Selection] | None = None,
    ) -> None:
        held = {resource: (selections or {}).get(resource, _WHOLE) for resource in kinds}
        self._reflectors = {
            resource: Reflector(
                client,
                resource,
                namespace,
                label_selector=selection.label_selector,
                trim=selection.trim,
                settings=settings,
            )
            for resource, selection in held.items()
        }

    def __getitem__(self, resource: ResourceType) -> Reflector:
        return self._reflectors[resource]

    def __iter__(self) -> Iterator[ResourceType]:
        return iter(self._reflectors)

    def __len__(self) -> int:
        return len(self._reflectors)

    def store(self, resource: ResourceType) -> Store:
        """Return the store of a watched kind."""
        return self._reflectors[resource].store

    def absences(self, resources: Iterable[ResourceType]) -> Mapping[ResourceType, Absence]:
        """Return which of the watched kinds cannot be read now, and why."""
        absences = {resource: self._reflectors[resource].absence for resource in resources}
        return {resource: absence for resource, absence in absences.items() if absence is not None}

    async def run(self) -> None:
        """Keep all stores until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for resource, reflector in self._reflectors.items():
                tasks.create_task(reflector.run(), name=f"reflector-{resource.plural}")

    async def synced(self, optional: Collection[ResourceType] = ()) -> None:
        """Wait until the first lists of all kinds are in the stores; ``optional`` ones may be absent instead."""
        for resource, reflector in self._reflectors.items():
            await (reflector.settled() if resource in optional else reflector.synced())


class Changes:
    """Wakes one reader: ``async for _ in changes`` runs once when all stores are there, then after every change.

    Make it before the reflectors run. Changes that come while the reader is at work, or within ``settle`` of the first,
    wake it once. ``at_least_every`` wakes it without a change too. ``optional`` kinds may be absent.
    """

    def __init__(
        self,
        reflectors: Reflectors,
        kinds: Iterable[ResourceType] | None = None,
        *,
        settle: timedelta = timedelta(0),
        at_least_every: timedelta | None = None,
        optional: Collection[ResourceType] = (),
    ) -> None:
        self._reflectors = reflectors
        self._optional = optional
        self._settle = settle
        self._at_least_every = at_least_every
        self._changed = asyncio.Event()
        for resource in reflectors if kinds is None else kinds:
            reflectors[resource].subscribe(self._hear)

    def poke(self) -> None:
        """Wake the reader now, for a reason of one's own."""
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[None]:
        """Yield for ever; never before all stores are there."""
        await self._reflectors.synced(self._optional)
        self._changed.set()
        seconds = None if self._at_least_every is None else self._at_least_every.total_seconds()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            if self._settle:
                await asyncio.sleep(self._settle.total_seconds())
            self._changed.clear()
            yield

    def _hear(self, _old: ReadOnlyJson | None, _new: ReadOnlyJson | None) -> None:
        self._changed.set()
