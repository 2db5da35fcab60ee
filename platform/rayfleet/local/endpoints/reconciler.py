"""Keeps each Service's EndpointSlice equal to its pods.

A pod's change of readiness is in the slice two round trips later.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import AlreadyExists, NotFound
from rayfleet.kube.reflector import Reflector
from rayfleet.local.endpoints.slices import endpoint_slice, is_same_slice, selects
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import ENDPOINT_SLICES, PODS, SERVICES, ResourceType
from rayfleet.objects.meta import key_of
from rayfleet.reconciling.own_writes import OwnWrites, wrote
from rayfleet.reconciling.runtime import Controller, Watch, owner_key

_LOOK_AGAIN = timedelta(milliseconds=100)


class EndpointSliceReconciler:
    """One Service a pass. The garbage collector removes the slice of a Service that is gone."""

    def __init__(self, client: KubeClient, reflectors: Mapping[ResourceType, Reflector]) -> None:
        self._client = client
        self._services = reflectors[SERVICES].store
        self._pods = reflectors[PODS].store
        self._slices = reflectors[ENDPOINT_SLICES].store
        self._writes = OwnWrites(reflectors)

    def is_current(self, key: ObjectKey) -> bool:
        """Whether the stores show what earlier passes wrote."""
        return self._writes.are_seen(key)

    async def reconcile(self, key: ObjectKey) -> timedelta | None:
        """Write the slice of one Service if it has changed. Raises Conflict when somebody else wrote it meanwhile."""
        service = self._services.get(key)
        if service is None or "deletionTimestamp" in service["metadata"]:
            return None
        wanted = endpoint_slice(service, self._pods.list(key.namespace))
        if wanted is None:
            return None
        old = self._slices.get(key_of(wanted))
        if old is not None and is_same_slice(old, wanted):
            return None
        try:
            stored = await self._write(old, wanted)
        except (AlreadyExists, NotFound):  # the slice of a Service of the same name, that is just going or just gone
            return _LOOK_AGAIN
        self._writes.note(key, wrote(ENDPOINT_SLICES, stored))
        return None

    async def _write(self, old: ReadOnlyJson | None, wanted: ReadOnlyJson) -> Json:
        if old is None:
            return await self._client.create(ENDPOINT_SLICES, wanted)
        wanted["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        return await self._client.replace(ENDPOINT_SLICES, wanted)


def endpoint_slice_controller(client: KubeClient, reflectors: Mapping[ResourceType, Reflector]) -> Controller:
    """Return the controller, subscribed to the reflectors and not yet running."""
    services = reflectors[SERVICES].store

    def services_of_pod(pod: ReadOnlyJson) -> Iterable[ObjectKey]:
        labels = pod["metadata"].get("labels") or {}
        for service in services.list(pod["metadata"]["namespace"]):
            if selects(service, labels):
                yield key_of(service)

    watches = [
        Watch(reflector=reflectors[PODS], keys=services_of_pod),
        Watch(reflector=reflectors[ENDPOINT_SLICES], keys=owner_key("Service")),
    ]
    return Controller("endpoint-slices", reflectors[SERVICES], EndpointSliceReconciler(client, reflectors), watches)
