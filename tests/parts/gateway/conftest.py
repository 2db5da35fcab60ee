"""A gateway that a test opens, and a client of it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest

from rayfleet_gateway.testing import GatewayServer, OpenGateway


@pytest.fixture
async def open_gateway() -> AsyncIterator[OpenGateway]:
    """Starts a gateway and returns a client of it, which asks by path; both end with the test."""
    async with AsyncExitStack() as stack:

        async def opened(gateway: GatewayServer) -> aiohttp.ClientSession:
            await stack.enter_async_context(gateway)
            return await stack.enter_async_context(aiohttp.ClientSession(gateway.url, auto_decompress=False))

        yield opened
