"""The server inside a test's own process and event loop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from rayfleet.local.apiserver.server import RunningApiServer, ServerSettings, running_server
from rayfleet.local.apiserver.storage.storage import DEFAULT_WINDOW


@asynccontextmanager
async def embedded_api_server(
    folder: Path, *, port: int = 0, pods_folder: Path | None = None, window: int = DEFAULT_WINDOW
) -> AsyncIterator[RunningApiServer]:
    """Run a server with its state in ``folder`` for the length of the block.

    A folder that was used before has its objects still; ``window`` is how many changes a watch can go back. Raises
    EnvironmentProblem.
    """
    settings = ServerSettings(state=folder, port=port, pods_folder=pods_folder, window=window)
    async with running_server(settings) as running:
        yield running
