"""Ends and absences under load: a gateway takes over from another, models come and go, the API server dies."""

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.attack.engine import LONG_EVENTS, Book, running_engine
from tests.attack.healthy import honest_clients
from tests.attack.process import ROOT, GatewayProcess, Verdict, route, service, slices, started, write_routes
from tests.attack.scene import Size
from tests.attack.wire import HOST, Answer, asked, prompt, read_answer, request

from rayfleet.kube.client import KubeClient
from rayfleet.kube.config import connect
from rayfleet.manifest.crds import foreign_crds
from rayfleet.model.resources import ENDPOINT_SLICES, HTTP_ROUTES, SERVICES
from rayfleet.testing.definitions import install
from rayfleet.testing.ports import held_ports

_CLIENTS = 16
_LAG = "1"
_LIMIT_SECONDS = 90


@dataclass(slots=True)
class _Load:
    """Clients that keep their connections for as long as they are kept, until so many requests are answered."""

    port: int
    least: int
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    is_over: bool = False

    async def run(self) -> None:
        """Ask until ``is_over`` and ``least`` are answered."""
        await asyncio.gather(*(self._client() for _ in range(_CLIENTS)))

    async def _client(self) -> None:
        while not (self.is_over and self.answered >= self.least):
            try:
                reader, writer = await asyncio.open_connection(HOST, self.port)
            except OSError as error:
                self.failures.append(f"no connection: {error}")
                continue
            answer = Answer(headers={}, is_whole=True)
            while answer.is_kept and not (self.is_over and self.answered >= self.least):
                writer.write(request(prompt("plain")))
                answer = await read_answer(reader)
                self.answered += 1
                if answer.status != 200 or not answer.is_whole:
                    self.failures.append(f"{answer.status} {answer.body[:80]!r}")
            writer.transport.abort()


async def rolling_restart(size: Size, folder: Path) -> Verdict:
    """One gateway after the other on one port: no request is lost, no stream is cut, other models come and go."""
    verdict = Verdict()
    async with running_engine(Book()) as engine_port, AsyncExitStack() as stack:
        write_routes(folder, {"m": [engine_port]})
        gateway = await started(folder, "--lag", _LAG)
        stack.push_async_callback(gateway.stop)
        load = _Load(gateway.port, size.restart_requests)
        asking = asyncio.create_task(load.run())
        coming = asyncio.create_task(_come_and_go(folder, size.restart_models, engine_port))
        streams: list[asyncio.Task[Answer]] = []
        for _ in range(size.restarts):
            each, long = -(-size.restart_streams // size.restarts), request(prompt("long-stream"))
            streams += [asyncio.create_task(asked(gateway.port, long)) for _ in range(each)]
            successor = await started(folder, "--lag", _LAG, port=gateway.port)
            stack.push_async_callback(successor.stop)
            verdict.expect("the old one ended well", holds=await gateway.stop() == 0)
            gateway = successor
        load.is_over = True
        await asking
        coming.cancel()
        answers = await asyncio.gather(*streams)
    whole = sum(answer.is_whole and answer.body.count(b"data: ") == LONG_EVENTS + 1 for answer in answers)
    verdict.figures |= {"restarts": size.restarts, "answered": load.answered, "streams whole": whole}
    verdict.expect(f"{len(load.failures)} requests were lost: {load.failures[:3]}", holds=not load.failures)
    verdict.expect(f"{whole} of {len(streams)} streams are whole", holds=whole == len(streams))
    _judge_log(verdict, gateway)
    return verdict


async def api_server_away(size: Size, folder: Path) -> Verdict:
    """The API server is killed and comes back: nobody notices, and a new route is live soon after."""
    verdict = Verdict()
    async with running_engine(Book()) as engine_port, AsyncExitStack() as stack:
        (port,) = stack.enter_context(held_ports(1))  # it comes back to it
        server = _ApiServer(folder / "state", port)
        await server.start()
        stack.push_async_callback(server.kill)
        async with await connect(server.kubeconfig) as client:
            await install(client, foreign_crds(), _LIMIT_SECONDS)
            await _write(client, "m", engine_port)
        gateway = await started(folder, "--lag", "0", source=("--kubeconfig", str(server.kubeconfig)))
        stack.push_async_callback(gateway.stop)
        await _until_live(gateway.port, "m")
        async with honest_clients(gateway.port) as health:
            await server.kill()
            await asyncio.sleep(size.away_seconds)
            back = time.monotonic()
            await server.start()
            listening = time.monotonic()
            async with await connect(server.kubeconfig) as client:
                await _write(client, "late", engine_port)
            await _until_live(gateway.port, "late")
            live = time.monotonic()
    verdict.figures |= {
        "honest": len(health.seconds),
        "server started s": round(listening - back, 1),
        "new route live s": round(live - listening, 1),
    }
    shown = health.failures[:3]
    verdict.expect(f"{len(health.failures)} honest requests failed: {shown}", holds=not health.failures)
    _judge_log(verdict, gateway)
    return verdict


async def _come_and_go(folder: Path, count: int, engine_port: int) -> None:
    """Write a third of other models at a time, again and again."""
    turn = 0
    while True:
        turn += 1
        names = [f"guest-{turn % 3}-{number}" for number in range(count // 3)]
        await asyncio.to_thread(write_routes, folder, {name: [engine_port] for name in names}, "guests")
        await asyncio.sleep(1.5)


@dataclass(slots=True)
class _ApiServer:
    """The embedded one, as a process that can die."""

    state: Path
    port: int
    _process: asyncio.subprocess.Process | None = None

    @property
    def kubeconfig(self) -> Path:
        """Where it is."""
        return self.state / "kubeconfig"

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        command = (
            sys.executable,
            "-m",
            "rayfleet.local.apiserver",
            "--state",
            str(self.state),
            "--port",
            str(self.port),
        )
        self._process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        assert self._process.stdout is not None
        async with asyncio.timeout(_LIMIT_SECONDS):
            await self._process.stdout.readline()

    async def kill(self) -> None:
        """End it without a word."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


async def _write(client: KubeClient, model: str, engine_port: int) -> None:
    await client.create(SERVICES, service(model))
    for each in slices(model, [engine_port]):
        await client.create(ENDPOINT_SLICES, each)
    await client.create(HTTP_ROUTES, route(model))


async def _until_live(port: int, model: str) -> None:
    async with asyncio.timeout(_LIMIT_SECONDS):
        while (await asked(port, request(prompt("plain", model)))).status != 200:
            await asyncio.sleep(0.02)


def _judge_log(verdict: Verdict, gateway: GatewayProcess) -> None:
    text = gateway.log_text()
    at = text.find("Traceback")
    verdict.expect(f"a traceback: {text[at : at + 1500]}", holds=at < 0)
