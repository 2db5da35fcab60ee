"""Empties namespaces that are being deleted and then lets them go.

Source: Kubernetes v1.36 pkg/controller/namespace/deletion. What there is in a namespace is asked by discovery, so
nothing of a kind that is unknown here stays behind.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import orjson

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import Conflict, NotFound
from rayfleet.kube.reflector import Reflector
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import NAMESPACES, ResourceType
from rayfleet.objects.meta import key_of
from rayfleet.reconciling.runtime import Controller

LOOK_AGAIN = timedelta(milliseconds=300)
_NEEDED_VERBS = frozenset({"list", "delete"})
FINALIZER = "kubernetes"


class NamespaceReconciler:
    """One namespace a pass."""

    def __init__(self, client: KubeClient, reflectors: Mapping[ResourceType, Reflector]) -> None:
        self._client = client
        self._namespaces = reflectors[NAMESPACES].store

    def is_current(self, key: ObjectKey) -> bool:
        """Return True: a pass reads from the server."""
        return True

    async def reconcile(self, key: ObjectKey) -> timedelta | None:
        """Delete what is in a terminating namespace; finalize it when it is empty."""
        namespace = self._namespaces.get(key)
        if namespace is None or "deletionTimestamp" not in namespace["metadata"]:
            return None
        is_empty = True
        for resource in await self._kinds():
            for found in (await self._client.list(resource, key.name)).items:
                is_empty = False
                await self._delete(resource, found)
        if not is_empty:
            return LOOK_AGAIN
        await self._finalize(key)
        return None

    async def _delete(self, resource: ResourceType, found: ReadOnlyJson) -> None:
        if "deletionTimestamp" in found["metadata"]:
            return
        try:
            await self._client.delete(resource, key_of(found), uid=found["metadata"]["uid"])
        except (NotFound, Conflict):
            return

    async def _finalize(self, key: ObjectKey) -> None:
        try:
            namespace = await self._client.get(NAMESPACES, key.name)
            left = [each for each in namespace["spec"].get("finalizers") or () if each != FINALIZER]
            if left == (namespace["spec"].get("finalizers") or []):
                return
            finalized = {**namespace, "spec": {**namespace["spec"], "finalizers": left}}
            await self._client.replace(NAMESPACES, finalized, subresource="finalize")
        except NotFound:
            return

    async def _kinds(self) -> Sequence[ResourceType]:
        """Return the namespaced kinds that can be listed and deleted, each in the version its group prefers."""
        groups = orjson.loads(await self._client.raw("GET", "/apis"))["groups"]
        paths = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]
        found: list[ResourceType] = []
        for path in paths:
            try:
                served = orjson.loads(await self._client.raw("GET", path))
            except NotFound:
                continue  # a definition that went meanwhile
            group, _, version = served["groupVersion"].rpartition("/")
            found += [
                ResourceType(group=group, version=version, plural=each["name"], kind=each["kind"])
                for each in served["resources"]
                if each["namespaced"] and set(each["verbs"]) >= _NEEDED_VERBS and "/" not in each["name"]
            ]
        return found


def namespace_controller(client: KubeClient, reflectors: Mapping[ResourceType, Reflector]) -> Controller:
    """Return the controller, subscribed to the reflectors and not yet running."""
    return Controller("namespaces", reflectors[NAMESPACES], NamespaceReconciler(client, reflectors))
