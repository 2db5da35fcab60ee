"""Keeps each Service's EndpointSlice equal to its ready pods."""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from rayfleet.controllers.own_writes import OwnWrites, wrote
from rayfleet.controllers.runtime import Controller, Watch, owner_key
from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import AlreadyExists, NotFound
from rayfleet.kube.reflector import Reflector
from rayfleet.local.endpoints.slices import endpoint_slice, is_same_slice
from rayfleet.model.meta import JsonObject, ObjectKey
from rayfleet.model.resources import ENDPOINT_SLICES, PODS, SERVICES, ResourceType


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
        """Write the slice of one Service if it has changed."""
        service = self._services.get(key)
        if service is None or "deletionTimestamp" in service["metadata"]:
            return None
        wanted = endpoint_slice(service, self._pods.list(key.namespace))
        if wanted is None:
            return None
        slice_key = ObjectKey(namespace=key.namespace, name=wanted["metadata"]["name"])
        old = self._slices.get(slice_key)
        if old is not None and is_same_slice(old, wanted):
            return None
        stored = await self._write(slice_key, old, wanted)
        if stored is not None:
            self._writes.note(key, wrote(ENDPOINT_SLICES, stored))
        return None

    async def _write(self, key: ObjectKey, old: JsonObject | None, wanted: JsonObject) -> JsonObject | None:
        if old is None:
            try:
                return await self._client.create(ENDPOINT_SLICES, wanted)
            except AlreadyExists:
                return await self._client.patch(ENDPOINT_SLICES, key, wanted)
        try:
            return await self._client.patch(ENDPOINT_SLICES, key, wanted)
        except NotFound:
            return None


def endpoint_slice_controller(client: KubeClient, reflectors: Mapping[ResourceType, Reflector]) -> Controller:
    """Return the controller, subscribed to the reflectors and not yet running."""
    services = reflectors[SERVICES].store

    def services_of_pod(pod: JsonObject) -> Iterable[ObjectKey]:
        labels = pod["metadata"].get("labels") or {}
        for service in services.list(pod["metadata"]["namespace"]):
            selector = (service.get("spec") or {}).get("selector") or {}
            if selector and selector.items() <= labels.items():
                yield ObjectKey(namespace=pod["metadata"]["namespace"], name=service["metadata"]["name"])

    watches = [
        Watch(reflector=reflectors[PODS], keys=services_of_pod),
        Watch(reflector=reflectors[ENDPOINT_SLICES], keys=owner_key("Service")),
    ]
    return Controller("endpoint-slices", reflectors[SERVICES], EndpointSliceReconciler(client, reflectors), watches)
