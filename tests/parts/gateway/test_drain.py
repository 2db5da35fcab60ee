"""Stopping: running answers may finish, new connections are refused, and what is left at the limit is told so."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from rayfleet.testing.waiting import LIMIT_SECONDS
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.route.table import RouteTable
from rayfleet_gateway.testing import FixedTable, gateway_of


class _BrokenTable(FixedTable):
    async def run(
        self, on_table: Callable[[RouteTable], None], on_part: Callable[[RouteTable], None] = lambda _: None
    ) -> None:
        on_table(self.table)
        raise KeyError("metadata")


async def test_watches_that_end_by_a_fault_are_noticed_and_end_the_process_with_it() -> None:
    settings = GatewaySettings(port=0, admin_port=0, lag=timedelta(0))
    gateway = gateway_of(settings, _BrokenTable(RouteTable()))
    await gateway.start()
    async with asyncio.timeout(LIMIT_SECONDS):
        await gateway.ended.wait()
    with pytest.raises(KeyError):
        await gateway.drain(asyncio.Event(), asyncio.Event())
