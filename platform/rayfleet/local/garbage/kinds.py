"""The kinds whose objects the collector knows: fixed ones, and those of definitions as they come and go.

A kind that was known stays known when its definition goes: then it has no objects, and who refers to one refers to
nothing. One that never was known is not judged. Source: Kubernetes v1.36 pkg/controller/garbagecollector,
``graph_builder.go`` (syncMonitors).
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from rayfleet.kube.client import KubeClient
from rayfleet.kube.reflector import Reflector
from rayfleet.kube.watches import Reflectors
from rayfleet.local.garbage.nodes import COLLECTED, KNOWN, changes_the_graph, node_of
from rayfleet.local.garbage.planning import Node
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import CRDS, ResourceType
from rayfleet.objects.definitions import served_kind


def further_kinds(definitions: Iterable[ReadOnlyJson]) -> frozenset[ResourceType]:
    """Return the kinds of definitions beside the fixed ones. Pure."""
    kinds = {served_kind(each) for each in definitions}
    return frozenset(each for each in kinds if each is not None and (each.group, each.kind) not in KNOWN)


class GraphKinds:
    """The kinds, and a store of each; ``reflectors`` have at least COLLECTED.

    Those of definitions have one while ``follow`` runs.
    """

    def __init__(self, client: KubeClient, reflectors: Reflectors) -> None:
        self._client = client
        self._fixed = reflectors
        self._followed: dict[ResourceType, Reflector] = {}
        self._tasks: dict[ResourceType, asyncio.Task[None]] = {}
        self._once_known = dict(KNOWN)
        self._changed = asyncio.Event()
        reflectors[CRDS].subscribe(lambda _old, _new: self._changed.set())

    @property
    def all(self) -> tuple[ResourceType, ...]:
        """All kinds that are there now."""
        return (*COLLECTED, *self._followed)

    @property
    def known(self) -> Mapping[tuple[str, str], ResourceType]:
        """All kinds that are or were there, by group and kind."""
        return self._once_known

    def nodes(self) -> list[Node]:
        """Return every object's place in the graph, by the stores."""
        stores = {kind: self._fixed.store(kind) for kind in COLLECTED}
        stores |= {kind: reflector.store for kind, reflector in self._followed.items()}
        return [node_of(kind, raw, self._once_known) for kind, store in stores.items() for raw in store.list()]

    async def follow(self, wake: Callable[[], None]) -> None:
        """Keep a store of each kind that has a definition, until cancelled; ``wake`` at what changes the graph."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._changed.wait()
                self._changed.clear()
                self._follow_these(further_kinds(self._fixed.store(CRDS).list()), tasks, wake)

    def _follow_these(self, kinds: frozenset[ResourceType], tasks: asyncio.TaskGroup, wake: Callable[[], None]) -> None:
        def hear(old: ReadOnlyJson | None, new: ReadOnlyJson | None) -> None:
            if changes_the_graph(old, new):
                wake()

        for kind in self._followed.keys() - kinds:
            self._tasks.pop(kind).cancel()
            del self._followed[kind]
            wake()  # what its objects owned
        for kind in kinds - self._followed.keys():
            self._followed[kind] = Reflector(self._client, kind)
            self._followed[kind].subscribe(hear)
            self._once_known[kind.group, kind.kind] = kind
            self._tasks[kind] = tasks.create_task(self._followed[kind].run(), name=f"garbage-{kind.plural}")
            wake()  # who waits for an owner of this kind
