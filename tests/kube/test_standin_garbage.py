"""The garbage collector, the namespace controller and the chores towards an API server that has none of them."""

from collections.abc import AsyncIterator

import pytest

from rayfleet.kube.client import KubeClient
from rayfleet.model.propagation import Propagation
from rayfleet.model.resources import CONFIG_MAPS, CRDS
from rayfleet.objects.meta import key_of
from rayfleet.testing.nodes import until_gone
from rayfleet.testing.stand_ins import running_stand_ins
from rayfleet.testing.suites.garbage import GarbageCollectorSuite, config_map, defined_kind, gadget
from rayfleet.testing.suites.upkeep import UpkeepSuite


@pytest.fixture(autouse=True)
async def stand_ins(client: KubeClient) -> AsyncIterator[None]:
    async with running_stand_ins(client):
        yield


class TestStandIn(GarbageCollectorSuite):
    async def test_what_a_kind_owned_goes_with_its_definition(self, client: KubeClient, namespace: str) -> None:
        """A kind that is no more has no objects: who refers to one is garbage."""
        kind, definition = await defined_kind(client)
        owner = await client.create(kind, gadget(kind, namespace, "owner"))
        owned = await client.create(CONFIG_MAPS, config_map(namespace, "owned", owner))
        gone = await client.create(kind, gadget(kind, namespace, "first"))  # ends when the kind is known
        await client.delete(kind, key_of(gone), propagation=Propagation.FOREGROUND)
        await until_gone(client, kind, key_of(gone))
        await client.delete(CRDS, key_of(definition))
        await until_gone(client, CRDS, key_of(definition))
        await until_gone(client, CONFIG_MAPS, key_of(owned))


class TestChores(UpkeepSuite):
    pass
