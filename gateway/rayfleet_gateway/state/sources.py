"""Opens where the route table comes from: an API server, or files."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from rayfleet.kube.client import ClientSettings
from rayfleet.kube.config import connect
from rayfleet.model.errors import SettingsError
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.route.one_route import any_profile
from rayfleet_gateway.state.discovery import Discovery, DiscoverySettings
from rayfleet_gateway.state.files import FileTables
from rayfleet_gateway.state.tables import TableSource

# With the pauses of the watches (discovery.py) three seconds at most until a server that is back is seen.
_CLIENT = ClientSettings(connect_timeout=timedelta(seconds=1))


@asynccontextmanager
async def open_tables(
    settings: GatewaySettings, profile_fault: Callable[[str], str] = any_profile
) -> AsyncIterator[TableSource]:
    """Yield the source that the settings name; its ``run`` is for the caller to start.

    ``profile_fault`` says what is wrong with the name of a profile.
    Raises SettingsError when the kubeconfig is none, or the files are not there.
    """
    if settings.config is not None:
        if not await asyncio.to_thread(settings.config.exists):
            raise SettingsError(f"--config {settings.config}: there is no such file or folder")
        yield FileTables(settings.config, settings.gateway, profile_fault)
        return
    async with await connect(settings.kubeconfig, settings=_CLIENT) as client:
        chosen = DiscoverySettings(only=settings.gateway, folder=settings.state_dir, profile_fault=profile_fault)
        yield Discovery(client, chosen)
