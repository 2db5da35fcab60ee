"""The stores that the controllers read, each kept by one reflector for all of them."""

import asyncio
from collections.abc import Mapping

from rayfleet.kube.client import KubeClient
from rayfleet.kube.reflector import Reflector, ReflectorSettings
from rayfleet.kube.store import Store
from rayfleet.model.resources import FLEETS, HTTP_ROUTES, RAY_CLUSTERS, REPLICA_SETS, SERVICES, ResourceType

WATCHED = (FLEETS, REPLICA_SETS, RAY_CLUSTERS, SERVICES, HTTP_ROUTES)


class Caches:
    """One reflector a kind, in one namespace or in all (None); ``settings`` are the reflectors'."""

    def __init__(
        self, client: KubeClient, namespace: str | None = None, settings: ReflectorSettings | None = None
    ) -> None:
        self.reflectors: Mapping[ResourceType, Reflector] = {
            resource: Reflector(client, resource, namespace, settings=settings) for resource in WATCHED
        }

    def store(self, resource: ResourceType) -> Store:
        """Return the store of a watched kind."""
        return self.reflectors[resource].store

    async def run(self) -> None:
        """Keep all stores until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for resource, reflector in self.reflectors.items():
                tasks.create_task(reflector.run(), name=f"reflector-{resource.plural}")
