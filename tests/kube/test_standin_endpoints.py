"""The endpoint slice stand-in towards an API server; the node is played by the test."""

from collections.abc import AsyncIterator

import pytest

from rayfleet.kube.client import KubeClient
from rayfleet.testing.stand_ins import running_stand_ins
from rayfleet.testing.suites.endpoints import EndpointSliceSuite


class TestStandIn(EndpointSliceSuite):
    @pytest.fixture(autouse=True)
    async def stand_ins(self, client: KubeClient) -> AsyncIterator[None]:
        async with running_stand_ins(client):
            yield
