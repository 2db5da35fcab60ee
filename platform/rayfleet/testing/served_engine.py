"""``python -m rayfleet.testing.served_engine``: the fake engine as the process of a pod, which ends as vLLM's does.

On SIGTERM it takes no more connections and ends when those that are there have their answers.
"""

import argparse
import asyncio

from aiohttp import web

from rayfleet.process import stop_event
from rayfleet.testing.engine import FakeEngine

_DRAIN_SECONDS = 30


async def _serve(host: str, port: int, engine: FakeEngine) -> None:
    stop = stop_event()
    runner = web.AppRunner(engine.app(), access_log=None, handler_cancellation=True, shutdown_timeout=_DRAIN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        await stop.wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--token-seconds", type=float, default=0.0)
    asked = parser.parse_args()
    engine = FakeEngine(model=asked.model, token_seconds=asked.token_seconds)
    asyncio.run(_serve(asked.host, asked.port, engine))


if __name__ == "__main__":
    main()
