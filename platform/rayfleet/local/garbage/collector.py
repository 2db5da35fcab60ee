"""The garbage collector: what it reads. Whole kinds from the stores, and from the server what a deletion rests on.

One key stands for everything: who owns whom is decided on the whole graph. Many objects go at once; one look serves
them all.
"""

import contextlib
import logging
from collections.abc import Iterable
from datetime import timedelta

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import ApiError, NotFound
from rayfleet.kube.watches import Reflectors
from rayfleet.local.garbage.kinds import GraphKinds
from rayfleet.local.garbage.nodes import COLLECTED, changes_the_graph, node_of
from rayfleet.local.garbage.planning import (
    RETRY,
    Candidate,
    Facts,
    Node,
    ObservedGarbage,
    OwnerRef,
    Release,
    asks_about,
    candidates_of,
    plan_collection,
)
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import ResourceType
from rayfleet.objects.meta import uid_of
from rayfleet.reconciling.assembly import ControllerPart, Wake
from rayfleet.reconciling.passes import Steps
from rayfleet.reconciling.runtime import RuntimeSettings, Watch

log = logging.getLogger(__name__)

SETTINGS = RuntimeSettings(workers=1, longest_backoff=RETRY, settle=timedelta(milliseconds=10))
_EVERYTHING = ObjectKey(namespace="", name="everything")
_NO_OBJECT: Json = {}


def garbage_part(client: KubeClient, reflectors: Reflectors) -> ControllerPart:
    """Return the collector; ``reflectors`` have at least COLLECTED."""
    kinds = GraphKinds(client, reflectors)

    async def follow(wake: Wake) -> None:
        await kinds.follow(lambda: wake(_EVERYTHING))

    return ControllerPart(
        name="garbage",
        steps=garbage_steps(client, kinds),
        watches=_garbage_watches(reflectors),
        settings=SETTINGS,
        beside=follow,
    )


def garbage_steps(client: KubeClient, kinds: GraphKinds) -> Steps[ObservedGarbage]:
    """Return the read and the decision."""

    async def observe(_about: ReadOnlyJson) -> ObservedGarbage:
        return await _Look(client, kinds).observed(candidates_of(kinds.nodes()))

    return Steps(find=lambda _key: _NO_OBJECT, observe=observe, plan=plan_collection)


def _garbage_watches(reflectors: Reflectors) -> tuple[Watch, ...]:
    """Return what wakes the collector: a change of the graph, whose ever."""

    def everything(_manifest: ReadOnlyJson) -> Iterable[ObjectKey]:
        return (_EVERYTHING,)

    return tuple(
        Watch(reflector=reflectors[kind], keys=everything, matters=changes_the_graph, is_resynced=True)
        for kind in COLLECTED
    )


class _Look:
    """What the server says during one pass; an answer holds for the pass."""

    def __init__(self, client: KubeClient, kinds: GraphKinds) -> None:
        self._client = client
        self._kinds = kinds
        self._owners: dict[tuple[str, str], Node | None] = {}
        self._living: dict[str, tuple[Node, ...]] = {}

    async def observed(self, candidates: Iterable[Candidate]) -> ObservedGarbage:
        """Return the facts about each candidate that is still there; one that cannot be asked about stops no other."""
        facts: list[Facts] = []
        is_incomplete = False
        for candidate in candidates:
            try:
                facts.append(await self._facts(candidate))
            except NotFound:
                continue  # gone meanwhile: the watch says so too
            except ApiError as error:
                is_incomplete = True
                node = candidate.node
                names = {"kind": node.resource.kind, "object": str(node.key)}
                log.warning("not collected yet, asking again", extra={**names, "error": error.message})
        return ObservedGarbage(facts=tuple(facts), is_incomplete=is_incomplete)

    async def _facts(self, candidate: Candidate) -> Facts:
        node = candidate.node
        current = await self._client.get(node.resource, node.key.name, node.key.namespace)
        now = self._node(node.resource, current)
        there = [await self._owner(node, owner) for owner in asks_about(candidate, now)]
        neighbours = await self._in_namespace(node.key.namespace) if isinstance(candidate, Release) else ()
        return Facts(
            candidate=candidate,
            current=current,
            now=now,
            owners={owner.uid: owner for owner in there if owner is not None},
            neighbours=neighbours,
        )

    async def _owner(self, node: Node, reference: OwnerRef) -> Node | None:
        if reference.resource is None:
            return None
        namespace = node.key.namespace if reference.resource.is_namespaced else ""
        asked = (reference.uid, namespace)
        if asked not in self._owners:
            there: Node | None = None
            with contextlib.suppress(NotFound):
                owner = await self._client.get(reference.resource, reference.name, namespace or None)
                if uid_of(owner) == reference.uid:
                    there = self._node(reference.resource, owner)
            self._owners[asked] = there  # only an answer is remembered: no answer is not "gone"
        return self._owners[asked]

    async def _in_namespace(self, namespace: str) -> tuple[Node, ...]:
        """Return all that there is in a namespace, or everywhere for a cluster-scoped owner (empty)."""
        if namespace not in self._living:
            nodes: list[Node] = []
            for resource in self._kinds.all:
                if resource.is_namespaced or not namespace:
                    nodes += await self._listed(resource, namespace)
            self._living[namespace] = tuple(nodes)
        return self._living[namespace]

    async def _listed(self, resource: ResourceType, namespace: str) -> list[Node]:
        try:
            listed = await self._client.list(resource, namespace or None)
        except NotFound:
            return []  # its definition went meanwhile, and its objects before that
        return [self._node(resource, raw) for raw in listed.items]

    def _node(self, resource: ResourceType, manifest: ReadOnlyJson) -> Node:
        return node_of(resource, manifest, self._kinds.known)
