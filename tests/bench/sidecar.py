"""The sidecar beside ``aibrix_runtime``: how soon each listens, and what memory it holds, in turns of one run.

Both are given an engine that is there: a port that answers health and models. Wall time and memory depend on the
machine, which is why the other is measured in the same run; the goals are those of the project for its own.
"""

import asyncio
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from tests.bench.peers import NotInstalled, Peer, installed
from tests.bench.processes import free_port

from rayfleet.plugin.settings import read_plugin_settings
from rayfleet.testing.engine import fake_engine

GOAL_SECONDS, GOAL_MIB = 0.5, 45
_LIMIT_SECONDS = 120
_PAGES = 20
_NOWHERE = asyncio.subprocess.DEVNULL


def _aibrix_runtime(binaries: Path, folder: Path, port: int, upstream: int) -> Sequence[str]:
    return (str(binaries / "aibrix_runtime"), "--host", "127.0.0.1", "--port", str(port))


PEER = Peer(name="aibrix_runtime", requirement="aibrix==0.8.0", command=_aibrix_runtime)


@dataclass(slots=True)
class Figures:
    """Of one program, by turns: seconds until it listens, MiB then, and MiB after some pages of metrics."""

    name: str
    seconds: list[float] = field(default_factory=list)
    start_mib: list[float] = field(default_factory=list)
    used_mib: list[float] = field(default_factory=list)

    def rendered(self) -> str:
        """Return a row: medians."""
        figures = (statistics.median(each) for each in (self.seconds, self.start_mib, self.used_mib))
        seconds, start, used = figures
        return f"| {self.name} | {seconds:.2f} | {start:.1f} | {used:.1f} |"


async def main(turns: int) -> None:
    """Measure, and write the table."""
    own = Figures("rayfleet-sidecar")
    programs = [(own, [str(Path(sys.executable).parent / "rayfleet-sidecar"), "--host", "127.0.0.1", "--port"])]
    try:
        binaries = installed(PEER, read_plugin_settings().cache)
    except NotInstalled as error:
        sys.stdout.write(f"aibrix_runtime is not measured: {error}\n")
    else:
        command = [*_aibrix_runtime(binaries, binaries, 0, 0)][:-1]
        programs.append((Figures(f"aibrix_runtime {PEER.version}"), command))
    async with fake_engine() as engine, aiohttp.ClientSession() as session:
        for _, command in programs:
            await _turn(Figures("the first, from the disk"), command, engine.url, session)
        for _ in range(turns):
            for figures, command in programs:
                await _turn(figures, command, engine.url, session)
    sys.stdout.write(f"| beside an engine, medians of {turns} turns | listens after s | MiB then | MiB in use |\n")
    sys.stdout.write("| --- | --- | --- | --- |\n")
    sys.stdout.write("".join(figures.rendered() + "\n" for figures, _ in programs))
    sys.stdout.write(f"goal for ours: {GOAL_SECONDS} s, {GOAL_MIB} MiB\n")


async def _turn(figures: Figures, command: Sequence[str], engine: str, session: aiohttp.ClientSession) -> None:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="rayfleet-sidecar-") as folder:
        environment = {
            **os.environ,
            "INFERENCE_ENGINE": "vllm",
            "INFERENCE_ENGINE_ENDPOINT": engine,
            "PROMETHEUS_MULTIPROC_DIR": f"{folder}/multiprocess",
        }
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *command, str(port), cwd=folder, env=environment, stdout=_NOWHERE, stderr=_NOWHERE
        )
        try:
            await _until_listening(session, f"http://127.0.0.1:{port}/healthz", process)
            figures.seconds.append(time.perf_counter() - began)
            figures.start_mib.append(_resident_mib(process.pid))
            for _ in range(_PAGES):
                async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                    await answer.read()
            figures.used_mib.append(_resident_mib(process.pid))
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()


async def _until_listening(session: aiohttp.ClientSession, url: str, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(_LIMIT_SECONDS):
        while True:
            try:
                async with session.get(url) as answer:
                    await answer.read()
                    return
            except aiohttp.ClientConnectionError:
                if process.returncode is not None:
                    raise
                await asyncio.sleep(0.005)


def _resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
