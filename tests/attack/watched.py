"""``python -m tests.attack.watched``: a gateway that knows how long each turn of its loop took.

From the first SIGRTMIN on it keeps the loop turning without a pause, so that a turn is one step or a few; each SIGRTMIN
makes it print the longest turn since the last one, as JSON: the processor time of the loop's thread, which other
processes do not lengthen, and the time on the clock.
"""

import asyncio
import json
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

import uvloop

from rayfleet.logs import configure_logging
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.serving import serve_until_signal


class _Turns:
    def __init__(self) -> None:
        self.cpu_seconds = self.seconds = 0.0
        self._loop = asyncio.get_running_loop()
        self._cpu = self._clock = 0.0

    def turn(self) -> None:
        cpu, clock = time.thread_time(), time.monotonic()
        self.cpu_seconds = max(self.cpu_seconds, cpu - self._cpu)
        self.seconds = max(self.seconds, clock - self._clock)
        self._cpu, self._clock = cpu, clock
        self._loop.call_soon(self.turn)

    def tell(self) -> None:
        if not self._clock:
            self._cpu, self._clock = time.thread_time(), time.monotonic()
            self.turn()
        longest = {"cpu_ms": round(self.cpu_seconds * 1000, 1), "ms": round(self.seconds * 1000, 1)}
        sys.stdout.write(json.dumps(longest) + "\n")
        sys.stdout.flush()
        self.cpu_seconds = self.seconds = 0.0


async def _main(folder: Path, port: int, admin_port: int) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGRTMIN, _Turns().tell)
    await serve_until_signal(
        GatewaySettings(
            config=folder / "routes",
            port=port,
            admin_port=admin_port,
            lag=timedelta(0),
            drain=timedelta(seconds=1),
            access_log=str(folder / "access.jsonl"),
            head_timeout=timedelta(seconds=2),
        )
    )


if __name__ == "__main__":
    configure_logging()
    uvloop.run(_main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
