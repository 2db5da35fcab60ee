"""``python -m tests.bench``: what the gateway costs, beside the same upstream asked directly and a bare aiohttp proxy;
``python -m tests.bench fleets``: what the controllers cost (``tests.bench.fleets``).

Figures for people, never asserted. CPU time is the measured process's own, from /proc; client, upstream and proxy share
this machine, so that requests per second are a floor. The servers are measured in turns, because machines change their
mind within a minute; the figure is the best of the turns.
"""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from tests.bench import fleets
from tests.bench.servers import EVENTS

_START_SECONDS = 20
_TURNS = 3
_CLIENTS = 16
_STREAMS = 8
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A process that is measured."""

    name: str
    port: int
    process: asyncio.subprocess.Process

    def cpu_seconds(self) -> float:
        """Return the CPU time that the process has used, user and system."""
        text = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii")
        fields = text.rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """``run`` loads a port for some seconds and returns how many units (requests, events) were answered."""

    title: str
    unit: str
    run: Callable[[int, float], Awaitable[int]]


async def main(turn_seconds: float) -> None:
    """Measure and print."""
    python, busy = sys.version.split()[0], os.getloadavg()[0]
    _say(f"Python {python}, aiohttp {aiohttp.__version__}, {os.cpu_count()} cores, load {busy:.1f}")
    servers: list[Server] = []
    try:
        servers.append(await _started("direct", "upstream"))
        port = str(servers[0].port)
        servers.append(await _started("bare aiohttp proxy", "bare", port))
        servers.append(await _started("gateway", "gateway", port))
        for load in _loads():
            await _compare(load, servers, turn_seconds)
    finally:
        for server in servers:
            server.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*(server.process.wait() for server in servers))


def _loads() -> Sequence[Load]:
    def requests(size: int) -> Callable[[int, float], Awaitable[int]]:
        body = b'{"model": "m", "prompt": "%s"}' % (b"x" * size)
        return lambda port, seconds: _together(_CLIENTS, lambda until: _ask(port, body, until), seconds)

    stream = b'{"model": "m", "stream": true, "prompt": "x"}'
    return (
        Load(title=f"330 B requests, {_CLIENTS} clients", unit="request", run=requests(300)),
        Load(title=f"114 KB requests, {_CLIENTS} clients", unit="request", run=requests(114_000)),
        Load(
            title=f"streams of {EVENTS} events, {_STREAMS} clients",
            unit="event",
            run=lambda port, seconds: _together(_STREAMS, lambda until: _stream(port, stream, until), seconds),
        ),
    )


async def _started(name: str, *arguments: str) -> Server:
    command = (sys.executable, "-m", "tests.bench.servers", *arguments)
    process = await asyncio.create_subprocess_exec(*command, cwd=_ROOT, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(_START_SECONDS):
        return Server(name=name, port=int(await process.stdout.readline()), process=process)


async def _compare(load: Load, servers: Sequence[Server], turn_seconds: float) -> None:
    best: dict[str, tuple[float, float]] = {}
    for _ in range(_TURNS):
        for server in servers:
            before, started = server.cpu_seconds(), time.monotonic()
            count = await load.run(server.port, turn_seconds)
            cpu_us = (server.cpu_seconds() - before) / count * 1e6
            rate = count / (time.monotonic() - started)
            best[server.name] = min(best.get(server.name, (cpu_us, rate)), (cpu_us, rate))
    _say(f"\n{load.title}")
    for name, (cpu_us, rate) in best.items():
        _say(f"  {name:20} {cpu_us:8.1f} CPU-us of its process per {load.unit}  {rate:8.0f} {load.unit}s/s")


async def _together(clients: int, one: Callable[[float], Awaitable[int]], seconds: float) -> int:
    until = time.monotonic() + seconds
    return sum(await asyncio.gather(*(one(until) for _ in range(clients))))


async def _ask(port: int, body: bytes, until: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count = 0
    while time.monotonic() < until:
        writer.write(_request(body))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
        count += 1
    writer.close()
    return count


async def _stream(port: int, body: bytes, until: float) -> int:
    """Return the number of events of whole streams; one that has begun is read to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count = 0
    while time.monotonic() < until:
        writer.write(_request(body))
        await reader.readuntil(b"\r\n0\r\n\r\n")
        count += EVENTS
    writer.close()
    return count


def _request(body: bytes) -> bytes:
    head = (
        b"POST /v1/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    return head % len(body) + body


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("gateway", "fleets"), default="gateway")
    parser.add_argument("--seconds", type=float, default=1.0, help="gateway: length of one turn (27 turns)")
    parser.add_argument("--fleets", type=int, default=200, help="fleets: how many (default: %(default)s)")
    parser.add_argument("--replicas", type=int, default=5, help="fleets: replicas of each (default: %(default)s)")
    parser.add_argument("--against", default="", help="fleets: a commit to run in the same way first")
    parser.add_argument("--profile", default="", help="fleets: write a cProfile of the controllers there")
    return parser


if __name__ == "__main__":
    chosen = _parser().parse_args()
    if chosen.what == "fleets":
        size = fleets.Size(fleets=chosen.fleets, replicas=chosen.replicas, profile=chosen.profile)
        asyncio.run(fleets.main(size, chosen.against))
    else:
        asyncio.run(main(chosen.seconds))
