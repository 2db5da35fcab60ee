"""``aibrix_runtime``: the sidecar under the name, flags and environment of AIBrix's, for manifests that run it."""

import asyncio
import sys

from rayfleet.logs import configure_logging
from rayfleet.process import exit_code, stop_event
from rayfleet_sidecar.main import serve
from rayfleet_sidecar.settings import SidecarSettings, read_aibrix_settings


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    return exit_code(lambda: _run(read_aibrix_settings(words)))


def _run(settings: SidecarSettings) -> None:
    configure_logging(settings.log_format)
    asyncio.run(_until_signal(settings))


async def _until_signal(settings: SidecarSettings) -> None:
    await serve(settings, stop_event())
