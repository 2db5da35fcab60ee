"""What the gateway costs, beside the engine asked directly, a relay that looks at nothing, a plain aiohttp proxy, and
other gateways where they install.

Figures for people, never asserted. All are measured in one run and in turns, since machines change their mind within a
minute; a figure is the best of its turns, and only ratios within a run mean anything. The proxy is alone on one core
(its CPU time is its own, from /proc), load and engine share the other.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import activation, manifests, report
from tests.bench.load import Job
from tests.bench.peers import PEERS, NotInstalled, Peer, installed
from tests.bench.processes import Loader, NotServing, Server, free_port, started_own, started_peer
from tests.bench.report import Figure, Figures

from rayfleet.plugin.settings import read_plugin_settings

_PROXY_CORE, _LOAD_CORE = 0, 1
_WARM_SECONDS = 0.3
_SIZES = {"330 B": 330, "9 KB": 9_000, "114 KB": 114_000, "1.1 MB": 1_100_000, "10 MB": 10_000_000}
_CLIENTS = {"330 B": 32, "9 KB": 32, "114 KB": 16, "1.1 MB": 8, "10 MB": 4}
_STREAMS, _SLOW_STREAMS = 100, 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is measured. ``peers``: whether other gateways are. ``is_written``: into docs/benchmarks.md."""

    turn_seconds: float = 1.0
    turns: int = 3
    memory_requests: int = 0
    activation_rounds: int = 0
    peers: bool = False
    is_written: bool = False
    niceness: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """One column of the table."""

    title: str
    is_stream: bool = False
    connections: int = 1
    body_bytes: int = 330


@dataclass(slots=True)
class Bench:
    """One run: who is measured, by whom, and what came of it."""

    extent: Extent
    loader: Loader = field(default_factory=Loader)
    servers: list[Server] = field(default_factory=list)
    figures: Figures = field(default_factory=Figures)

    async def run(self) -> Figures:
        """Measure everything."""
        for load in _loads():
            await self._compare(load)
            _say(f"  {load.title}: " + ", ".join(f"{row} {cell}" for row, cell in self.figures.column(load.title)))
        if self.extent.memory_requests:
            for server in self.servers[1:]:
                await self._remember(server)
        return self.figures

    async def _compare(self, load: Load) -> None:
        turns: dict[str, list[Figure]] = {}
        for _ in range(self.extent.turns):
            for server in self.servers:
                if (server.name, load.title) not in self.figures.faults:
                    await self._turn(server, load, turns)
        for name, values in turns.items():
            self.figures.add(name, load.title, _best(values))

    async def _turn(self, server: Server, load: Load, turns: dict[str, list[Figure]]) -> None:
        connections = _SLOW_STREAMS if load.is_stream and server.is_slow else load.connections
        job = Job(
            port=server.port,
            connections=connections,
            seconds=_WARM_SECONDS,
            body_bytes=load.body_bytes,
            is_stream=load.is_stream,
        )
        try:
            if not load.is_stream:
                await self.loader.run(job)
            before = server.cpu_seconds()
            done = await self.loader.run(_lasting(job, self.extent.turn_seconds))
        except NotServing as error:
            self.figures.faults[server.name, load.title] = str(error)
            return
        cpu_us = (server.cpu_seconds() - before) / done.units * 1e6
        figure = Figure(cpu_us=cpu_us, per_second=done.units / done.seconds, p50_us=done.p50_us)
        turns.setdefault(server.name, []).append(figure)

    async def _remember(self, server: Server) -> None:
        requests = self.extent.memory_requests // (100 if server.is_slow else 1)
        before = server.resident_mib()
        job = Job(port=server.port, connections=32, seconds=600, body_bytes=330, requests=requests)
        try:
            await self.loader.run(job)
        except NotServing as error:
            self.figures.faults[server.name, "memory"] = str(error)
            return
        self.figures.memory[server.name] = (requests, before, server.resident_mib())
        _say(f"  memory of {server.name}: {before:.0f} -> {server.resident_mib():.0f} MiB over {requests:,} requests")


async def main(extent: Extent) -> None:
    """Measure, print, and write the tables where asked."""
    if extent.niceness:
        _set_priority(extent.niceness)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rayfleet-bench-")))
        bench = Bench(extent)
        await bench.loader.start(_LOAD_CORE)
        stack.push_async_callback(bench.loader.stop)
        direct = await started_own("direct", "upstream")
        stack.push_async_callback(direct.stop)
        direct.pin(_LOAD_CORE)
        bench.servers.append(direct)
        for name, kind in ((report.RELAY, "relay"), (report.AIOHTTP, "aiohttp")):
            server = await started_own(name, kind, str(direct.port))
            stack.push_async_callback(server.stop)
            bench.servers.append(server)
        for name, options in ((report.OURS, ()), (report.LOGGING, ("--access-log", str(folder / "access.log")))):
            server = await _started_ours(name, folder / name.replace(" ", "-"), direct.port, *options)
            stack.push_async_callback(server.stop)
            bench.servers.append(server)
        for peer in PEERS if extent.peers else ():
            await _add_peer(bench, stack, peer, folder)
        for server in bench.servers[1:]:
            server.pin(_PROXY_CORE)
        figures = await bench.run()
    if extent.activation_rounds:
        figures.activation = await activation.measured(extent.activation_rounds)
    text = report.rendered(figures, report.conditions(extent.turns, extent.turn_seconds))
    _say(text)
    if extent.is_written:
        report.write(figures, text)


def _set_priority(niceness: int) -> None:
    """Of this process and what it starts; where the kernel shares by session (autogroup), of the session too."""
    os.setpriority(os.PRIO_PROCESS, 0, niceness)
    session = Path("/proc/self/autogroup")
    if session.exists():
        session.write_text(f"{niceness}\n", encoding="ascii")


async def _started_ours(name: str, folder: Path, engine_port: int, *options: str) -> Server:
    """Start the gateway as its users do, with one model read from files."""
    folder.mkdir()
    objects = (manifests.route("m"), manifests.service("m"), manifests.slice_("m", engine_port))
    for each in objects:
        (folder / f"{each['kind']}.json").write_text(json.dumps(each), encoding="utf-8")
    port = free_port()
    ports = ("--port", str(port), "--admin-port", str(port + 1), "--lag", "0.1", "--drain", "1")
    command = (sys.executable, "-m", "rayfleet_gateway", "--config", str(folder), *ports, *options)
    logs = folder.with_suffix(".logs")
    logs.mkdir()
    return await started_peer(name, command, port, logs, is_slow=False)


async def _add_peer(bench: Bench, stack: AsyncExitStack, peer: Peer, folder: Path) -> None:
    try:
        binaries = await asyncio.to_thread(installed, peer, read_plugin_settings().cache)
        port, own = free_port(), folder / peer.name.replace(" ", "-")
        own.mkdir()
        command = peer.command(binaries, own, port, bench.servers[0].port)
        server = await started_peer(peer.name, command, port, own, is_slow=peer.is_slow)
    except (NotInstalled, NotServing) as error:
        bench.figures.absent[peer.name] = str(error)
        _say(f"  {peer.name} {peer.version} is not measured: {error}")
        return
    bench.figures.versions[peer.name] = peer.version
    stack.push_async_callback(server.stop)
    bench.servers.append(server)


def _loads() -> Sequence[Load]:
    requests = (Load(size, connections=_CLIENTS[size], body_bytes=count) for size, count in _SIZES.items())
    return (*requests, Load(report.CHUNK, is_stream=True, connections=_STREAMS), Load(report.ONE))


def _lasting(job: Job, seconds: float) -> Job:
    return Job(
        port=job.port,
        connections=job.connections,
        seconds=seconds,
        body_bytes=job.body_bytes,
        is_stream=job.is_stream,
    )


def _best(values: Sequence[Figure]) -> Figure:
    """Return the best of each: what disturbs a turn only ever makes it dearer."""
    return Figure(
        cpu_us=min(value.cpu_us for value in values),
        per_second=max(value.per_second for value in values),
        p50_us=min(value.p50_us for value in values),
    )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
