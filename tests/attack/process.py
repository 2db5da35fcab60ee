"""The gateway as its users start it: a process of its own over files, seen from outside: /proc, /metrics, its log."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.attack.wire import HOST

from rayfleet.model.json import Json
from rayfleet.testing.ports import held_ports

ROOT = Path(__file__).parents[2]
START_SECONDS = 120
_STOP_SECONDS = 90
_LOOK_SECONDS = 0.05

Metrics = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass(slots=True)
class Verdict:
    """``figures`` are for people; ``faults`` are what must not be."""

    figures: dict[str, object] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def expect(self, claim: str, *, holds: bool) -> None:
        """Note a claim that does not hold."""
        if not holds:
            self.faults.append(f"not so: {claim}")


@dataclass(slots=True)
class GatewayProcess:
    """``folder`` holds its routes (``routes``), ``log.txt`` and ``access.jsonl``.

    ``held``: its ports, which others could listen on beside it, unseen.
    """

    folder: Path
    process: asyncio.subprocess.Process
    port: int
    admin_port: int
    held: ExitStack = field(default_factory=ExitStack)

    def resident_mib(self) -> float:
        """Return the memory that it holds."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def log_text(self) -> str:
        """Return what it logged."""
        return (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace")

    def access_lines(self) -> list[dict[str, object]]:
        """Return the whole lines of its access log: one that is being written may be seen in part."""
        file = self.folder / "access.jsonl"
        whole, _, _ = file.read_bytes().rpartition(b"\n") if file.exists() else (b"", b"", b"")
        return [json.loads(line) for line in whole.splitlines()]

    async def metrics(self) -> Metrics:
        """Return every sample of its page, by name and labels."""
        async with aiohttp.ClientSession() as session, session.get(self._admin("metrics")) as answer:
            families = text_string_to_metric_families(await answer.text())
            return {
                (sample.name, tuple(sorted(sample.labels.items()))): sample.value
                for family in families
                for sample in family.samples
            }

    async def value(self, name: str) -> float:
        """Return the sum of one of its metrics over all labels."""
        metrics = await self.metrics()
        return sum(value for (each, _), value in metrics.items() if each == f"rayfleet_gateway_{name}")

    async def until_ready(self) -> None:
        """Wait until it has read its routes."""
        async with asyncio.timeout(START_SECONDS), aiohttp.ClientSession() as session:
            while True:
                assert self.process.returncode is None, self.log_text()
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(self._admin("readyz")) as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(_LOOK_SECONDS)

    async def until_at_rest(self, seconds: float) -> None:
        """Wait until nothing is in flight and no client is connected, ``seconds`` at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while await self.value("requests_in_flight") or await self.value("connections_open"):
                    await asyncio.sleep(_LOOK_SECONDS)

    async def stop(self) -> int:
        """End it as an operator does; return its exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        self.held.close()
        async with asyncio.timeout(_STOP_SECONDS):
            return await self.process.wait()

    def _admin(self, path: str) -> str:
        return f"http://{HOST}:{self.admin_port}/{path}"


async def started(
    folder: Path,
    *flags: str,
    port: int = 0,
    most_files: int | None = None,
    source: Sequence[str] = (),
) -> GatewayProcess:
    """Start a gateway over ``folder / "routes"``, or over what ``source`` says; ``most_files``: its RLIMIT_NOFILE."""
    held = ExitStack()
    own_port, admin_port = held.enter_context(held_ports(2))
    if port:
        held.enter_context(held_ports(1, first=port))
    port = port or own_port
    where = source or ("--config", str(folder / "routes"))
    command = [sys.executable, "-m", "rayfleet_gateway", *where, "--port", str(port), "--admin-port", str(admin_port)]
    command += ["--access-log", str(folder / "access.jsonl"), *flags]
    if most_files is not None:
        command = ["sh", "-c", f'ulimit -n {most_files} && exec "$@"', "sh", *command]
    with (folder / "log.txt").open("ab") as log:
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=log)
    gateway = GatewayProcess(folder, process, port, admin_port, held)
    try:
        await gateway.until_ready()
    except BaseException:
        gateway.held.close()
        if process.returncode is None:
            process.kill()
        await process.wait()
        raise
    return gateway


@asynccontextmanager
async def running_gateway(folder: Path, *flags: str, most_files: int | None = None) -> AsyncIterator[GatewayProcess]:
    """Run one without a lag window; its engines are in a busy process, which takes its time to accept."""
    waits = ("--lag", "0", "--drain", "2", "--connect-timeout", "20")
    gateway = await started(folder, *waits, *flags, most_files=most_files)
    try:
        yield gateway
    finally:
        if gateway.process.returncode is None:
            await gateway.stop()


def route(model: str, path: str = "/v1") -> Json:
    """Return the HTTPRoute of a model."""
    match = {
        "headers": [{"name": "model", "value": model}],
        "path": {"type": "PathPrefix", "value": path},
    }
    rule = {"matches": [match], "backendRefs": [{"name": model, "port": 80}]}
    return _object("gateway.networking.k8s.io/v1", "HTTPRoute", model) | {"spec": {"rules": [rule]}}


def service(model: str) -> Json:
    """Return its Service."""
    return _object("v1", "Service", model) | {"spec": {"ports": [{"name": "http", "port": 80}]}}


def slices(model: str, ports: Sequence[int]) -> list[Json]:
    """Return its endpoints, a slice for each: a slice has one port."""
    made = []
    for number, port in enumerate(ports):
        one = _object("discovery.k8s.io/v1", "EndpointSlice", f"{model}-{number}")
        one["metadata"] |= {"labels": {"kubernetes.io/service-name": model}}
        endpoints = [{"addresses": [HOST], "conditions": {"ready": True}}]
        made.append(one | {"addressType": "IPv4", "ports": [{"name": "http", "port": port}], "endpoints": endpoints})
    return made


def write_routes(folder: Path, models: Mapping[str, Sequence[int]], name: str = "models") -> None:
    """Write the routes of models to endpoints on these ports."""
    (folder / "routes").mkdir(exist_ok=True)
    objects: Iterable[Json] = (
        each for model, ports in models.items() for each in (route(model), service(model), *slices(model, ports))
    )
    new = folder / "new.tmp"
    new.write_text(yaml.dump_all(objects, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)), encoding="utf-8")
    new.rename(folder / "routes" / f"{name}.yaml")  # at once: a reader never sees half of it


@asynccontextmanager
async def watched_memory(gateway: GatewayProcess) -> AsyncIterator[list[float]]:
    """Look at its memory all the time; the value is the one most that it held, in MiB."""
    peak = [gateway.resident_mib()]

    async def look() -> None:
        while True:
            peak[0] = max(peak[0], gateway.resident_mib())
            await asyncio.sleep(_LOOK_SECONDS)

    task = asyncio.create_task(look())
    try:
        yield peak
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _object(version: str, kind: str, name: str) -> Json:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "default"}}
