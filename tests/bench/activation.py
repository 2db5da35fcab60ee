"""How soon a change of routes or endpoints is served: the gateway's process beside the embedded API server's.

A black box: the clock runs from the write that is sent to the API server to the first answer of the gateway that shows
it, and a request follows the other without a pause. There are other models, which do not change meanwhile.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
from tests.bench import manifests
from tests.bench.processes import Server, free_port, started_own

from rayfleet.kube.client import KubeClient
from rayfleet.kube.config import connect
from rayfleet.manifest.crds import foreign_crds
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import ENDPOINT_SLICES, HTTP_ROUTES, SERVICES
from rayfleet.testing.definitions import install

OTHERS = (0, 300, 1000)
STEPS = ("route sent -> 200", "endpoint gone -> 503", "endpoint added -> 200", "deleted -> 404")
_WRITERS = 16
_LIMIT_SECONDS = 120
_ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class Times:
    """Milliseconds of each step, by the number of other models."""

    steps: dict[tuple[int, str], list[float]] = field(default_factory=dict)

    def worst_p99(self, others: int) -> float | None:
        """Return the 99th percentile of the slowest step, None when it was not measured."""
        return max((_p99(values) for (count, _), values in self.steps.items() if count == others), default=None)

    def rendered(self) -> str:
        """Return a table: median / 99th percentile."""
        lines = [f"| other models, ms p50 / p99 | {' | '.join(STEPS)} |", "|" + " --- |" * (len(STEPS) + 1)]
        for others in dict.fromkeys(others for others, _ in self.steps):
            cells = (_shown(self.steps[others, step]) for step in STEPS)
            lines.append(f"| {others:,} | {' | '.join(cells)} |")
        return "\n".join(lines)


async def measured(rounds: int, others: Sequence[int] = OTHERS) -> Times:
    """Run servers and gateway, and return the times."""
    times = Times()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="rayfleet-activation-")))
        kubeconfig = await stack.enter_async_context(_api_server(folder))
        client = await stack.enter_async_context(await connect(kubeconfig))
        await install(client, foreign_crds(), _LIMIT_SECONDS)
        engine = await started_own("engine", "upstream")
        stack.push_async_callback(engine.stop)
        gateway = await _gateway(kubeconfig)
        stack.push_async_callback(gateway.stop)
        session = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{gateway.port}"))
        have = 0
        for count in others:
            await _fill(client, range(have, count), engine.port)
            have = count
            async with asyncio.timeout(_LIMIT_SECONDS):
                while await _models(session) != count:
                    await asyncio.sleep(0.1)
            for number in range(rounds):
                await _round(_Probe(client, session, f"probe-{count}-{number}", engine.port), count, times)
    return times


@dataclass(frozen=True, slots=True)
class _Probe:
    client: KubeClient
    session: aiohttp.ClientSession
    model: str
    engine_port: int

    async def until(self, status: int, write: Awaitable[object]) -> float:
        """Return the milliseconds from ``write`` until a request gets ``status``."""
        started = time.perf_counter()
        writing = asyncio.ensure_future(write)
        async with asyncio.timeout(_LIMIT_SECONDS):
            while await self._status() != status:
                pass
        took = time.perf_counter() - started
        await writing
        return took * 1000

    async def _status(self) -> int:
        async with self.session.post("/v1/completions", json={"model": self.model, "prompt": "x"}) as answer:
            await answer.read()
            return answer.status


async def _round(probe: _Probe, others: int, times: Times) -> None:
    key = ObjectKey(namespace=manifests.NAMESPACE, name=probe.model)
    client, there = probe.client, manifests.slice_(probe.model, probe.engine_port)
    await client.create(SERVICES, manifests.service(probe.model))
    await client.create(ENDPOINT_SLICES, there)
    took = (
        await probe.until(200, client.create(HTTP_ROUTES, manifests.route(probe.model))),
        await probe.until(503, client.patch(ENDPOINT_SLICES, key, {"endpoints": []})),
        await probe.until(200, client.patch(ENDPOINT_SLICES, key, {"endpoints": there["endpoints"]})),
        await probe.until(404, client.delete(HTTP_ROUTES, key)),
    )
    await client.delete(ENDPOINT_SLICES, key)
    await client.delete(SERVICES, key)
    for step, milliseconds in zip(STEPS, took, strict=True):
        times.steps.setdefault((others, step), []).append(milliseconds)


async def _fill(client: KubeClient, numbers: Sequence[int], port: int) -> None:
    """Write other models, several at a time."""
    turns = asyncio.Semaphore(_WRITERS)

    async def write(model: str) -> None:
        async with turns:
            await client.create(SERVICES, manifests.service(model))
            await client.create(ENDPOINT_SLICES, manifests.slice_(model, port))
            await client.create(HTTP_ROUTES, manifests.route(model))

    await asyncio.gather(*(write(f"other-{number}") for number in numbers))


async def _models(session: aiohttp.ClientSession) -> int:
    async with session.get("/v1/models") as answer:
        return len((await answer.json())["data"]) if answer.status == 200 else -1


@asynccontextmanager
async def _api_server(folder: Path) -> AsyncIterator[Path]:
    command = (sys.executable, "-m", "rayfleet.local.apiserver", "--state", str(folder), "--port", "0")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    try:
        yield folder / "kubeconfig"
    finally:
        process.terminate()
        await process.wait()


async def _gateway(kubeconfig: Path) -> Server:
    port = free_port()
    options = ("--kubeconfig", str(kubeconfig), "--port", str(port), "--admin-port", str(port + 1), "--lag", "0.1")
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "rayfleet_gateway", *options, cwd=_ROOT)
    async with asyncio.timeout(_LIMIT_SECONDS), aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        while True:
            try:
                if await _models(session) >= 0:
                    return Server(name="gateway", port=port, process=process)
            except aiohttp.ClientConnectorError:
                pass
            await asyncio.sleep(0.1)


def _shown(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} / {_p99(values):.1f}"


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]
