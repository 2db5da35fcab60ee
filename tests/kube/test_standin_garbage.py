"""The garbage collector and the namespace controller towards an API server that has neither."""

from collections.abc import AsyncIterator

import pytest

from rayfleet.kube.client import KubeClient
from rayfleet.testing.stand_ins import running_stand_ins
from rayfleet.testing.suites.garbage import GarbageCollectorSuite


class TestStandIn(GarbageCollectorSuite):
    @pytest.fixture(autouse=True)
    async def stand_ins(self, client: KubeClient) -> AsyncIterator[None]:
        async with running_stand_ins(client):
            yield
