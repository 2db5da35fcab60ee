"""Empties namespaces that are being deleted and then lets them go.

Source: Kubernetes v1.36 pkg/controller/namespace/deletion. What there is in a namespace is asked by discovery, so
nothing of a kind that is unknown here stays behind.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import ApiError, NotFound
from rayfleet.kube.watches import Reflectors
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import NAMESPACES, ResourceType
from rayfleet.objects.meta import is_terminating, name_of
from rayfleet.objects.parts import part
from rayfleet.planning.plan import StatelessPlan
from rayfleet.planning.writes import Delete, Replace, ref_of
from rayfleet.reconciling.passes import Steps
from rayfleet.reconciling.runtime import Watch, primary

log = logging.getLogger(__name__)

LOOK_AGAIN = timedelta(milliseconds=300)
RETRY = timedelta(seconds=1)
FINALIZER = "kubernetes"
_NEEDED_VERBS = frozenset({"list", "delete"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedNamespace:
    """A namespace, as the server has it now, and (if it is to go) all that is in it.

    ``is_incomplete``: some kinds could not be listed, so there may be more.
    """

    namespace: ReadOnlyJson
    content: tuple[tuple[ResourceType, ReadOnlyJson], ...] = ()
    is_incomplete: bool = False


def plan_namespace(observed: ObservedNamespace, _now: datetime) -> StatelessPlan:
    """Return the deletions of what is in a namespace that is to go; when it is empty, its finalizer taken off. Pure."""
    namespace = observed.namespace
    if not is_terminating(namespace):
        return StatelessPlan(status=None)
    if observed.content or observed.is_incomplete:
        going = [(kind, raw) for kind, raw in observed.content if not is_terminating(raw)]
        deletions = tuple(Delete(resource=kind, ref=ref_of(raw)) for kind, raw in going)
        again = RETRY if observed.is_incomplete else LOOK_AGAIN
        return StatelessPlan(actions=deletions, status=None, requeue_after=again, is_ordered=False)
    finalizers = part(namespace, "spec").get("finalizers") or []
    if FINALIZER not in finalizers:
        return StatelessPlan(status=None)
    left = [name for name in finalizers if name != FINALIZER]
    finalized = {**namespace, "spec": {**part(namespace, "spec"), "finalizers": left}}
    write = Replace(resource=NAMESPACES, ref=ref_of(namespace), content=finalized, subresource="finalize")
    return StatelessPlan(actions=(write,), status=None)


def namespace_steps(client: KubeClient, reflectors: Reflectors) -> Steps[ObservedNamespace]:
    """Return the read (from the server: nothing may be missed) and the decision."""

    async def observe(about: ReadOnlyJson) -> ObservedNamespace:
        if not is_terminating(about):
            return ObservedNamespace(namespace=about)
        name = name_of(about)
        content, is_incomplete = await _content(client, name)
        namespace = await client.get(NAMESPACES, name)
        return ObservedNamespace(namespace=namespace, content=content, is_incomplete=is_incomplete)

    return Steps(find=reflectors.store(NAMESPACES).get, observe=observe, plan=plan_namespace)


def namespace_watches(reflectors: Reflectors) -> tuple[Watch, ...]:
    """Return what wakes a namespace: itself."""
    return (primary(reflectors[NAMESPACES]),)


async def _content(client: KubeClient, namespace: str) -> tuple[tuple[tuple[ResourceType, ReadOnlyJson], ...], bool]:
    """Return all that is in a namespace, and whether some kinds could not be listed: one keeps no other there."""
    content: list[tuple[ResourceType, ReadOnlyJson]] = []
    is_incomplete = False
    for kind in await _kinds(client):
        try:
            content += [(kind, raw) for raw in (await client.list(kind, namespace)).items]
        except ApiError as error:
            is_incomplete = True
            facts = {"namespace": namespace, "resource": kind.plural, "error": error.message}
            log.warning("not listed, asking again", extra=facts)
    return tuple(content), is_incomplete


async def _kinds(client: KubeClient) -> Sequence[ResourceType]:
    """Return the namespaced kinds that can be listed and deleted, each in the version its group prefers."""
    groups = orjson.loads(await client.raw("GET", "/apis"))["groups"]
    paths = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]
    kinds: list[ResourceType] = []
    for path in paths:
        try:
            served = orjson.loads(await client.raw("GET", path))
        except NotFound:
            continue  # a definition that went meanwhile
        group, _, version = served["groupVersion"].rpartition("/")
        kinds += [
            ResourceType(group=group, version=version, plural=each["name"], kind=each["kind"])
            for each in served["resources"]
            if each["namespaced"] and set(each["verbs"]) >= _NEEDED_VERBS and "/" not in each["name"]
        ]
    return kinds
