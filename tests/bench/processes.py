"""The measured processes of the gateway's benchmark: started, pinned, read from /proc, ended."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.load import Job, Report

_START_SECONDS = 90
_STOP_SECONDS = 15
_ROOT = Path(__file__).parents[2]


class NotServing(Exception):
    """The process did not answer, or not rightly; the message says how it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A process that is measured, with whatever it started."""

    name: str
    port: int
    process: asyncio.subprocess.Process
    is_slow: bool = False

    def cpu_seconds(self) -> float:
        """Return the CPU time that it has used, user and system."""
        ticks = sum(int(fields[11]) + int(fields[12]) for fields in map(_stat, self._pids()))
        return ticks / os.sysconf("SC_CLK_TCK")

    def resident_mib(self) -> float:
        """Return the memory that it holds."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) for pid in self._pids())
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def pin(self, core: int) -> None:
        """Keep it, with all its threads, on one core."""
        for pid in self._pids():
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), {core})

    async def stop(self) -> None:
        """End it and what it started; by force if it does not go."""
        if self.process.returncode is not None:
            return
        pids = self._pids()
        for number, seconds in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, _STOP_SECONDS)):
            for pid in pids:
                _send(pid, number)
            try:
                async with asyncio.timeout(seconds):
                    await self.process.wait()
                    return
            except TimeoutError:
                continue

    def _pids(self) -> Sequence[int]:
        return _with_descendants(self.process.pid)


@dataclass(slots=True)
class Loader:
    """The load generator's process."""

    process: asyncio.subprocess.Process = field(init=False)

    async def start(self, core: int) -> None:
        """Start it, pinned to ``core``."""
        command = (sys.executable, "-m", "tests.bench.load")
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(*command, cwd=_ROOT, stdin=pipe, stdout=pipe)
        os.sched_setaffinity(self.process.pid, {core})

    async def run(self, job: Job) -> Report:
        """Do a job. Raises NotServing when an answer was not 200 and whole."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await self.process.stdout.readline())
        if "error" in answer:
            raise NotServing(answer["error"])
        return Report(**answer)

    async def stop(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        await self.process.wait()


async def started_own(name: str, *arguments: str) -> Server:
    """Start one of ``tests.bench.servers``, which prints its port."""
    command = (sys.executable, "-m", "tests.bench.servers", *arguments)
    process = await asyncio.create_subprocess_exec(*command, cwd=_ROOT, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(_START_SECONDS):
        return Server(name=name, port=int(await process.stdout.readline()), process=process)


async def started_peer(name: str, command: Sequence[str], port: int, folder: Path, *, is_slow: bool) -> Server:
    """Start a peer, and wait until it answers a request. Raises NotServing."""
    with (folder / "log.txt").open("ab") as log:
        process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=log, stderr=log)
    server = Server(name=name, port=port, process=process, is_slow=is_slow)
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not await _answers(port):
                if process.returncode is not None:
                    raise NotServing(f"it ended with {process.returncode}: {_last_line(folder / 'log.txt')}")
                await asyncio.sleep(0.2)
    except TimeoutError:
        await server.stop()
        raise NotServing(f"it did not answer within {_START_SECONDS} s") from None
    return server


def free_port() -> int:
    """Return a port that nobody has now, with a free one after it."""
    while True:
        with socket.socket() as first, socket.socket() as second, suppress(OSError):
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            second.bind(("127.0.0.1", port + 1))
            return port


async def _answers(port: int) -> bool:
    request = b'{"model": "m", "max_tokens": 100, "prompt": "x"}'
    head = (
        b"POST /v1/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head % len(request) + request)
        async with asyncio.timeout(5):
            status = await reader.readline()
        writer.close()
    except (OSError, TimeoutError):
        return False
    return b" 200 " in status


def _with_descendants(pid: int) -> Sequence[int]:
    pids = [pid]
    for each in pids:  # grows as it goes
        with suppress(OSError):  # a process that ends meanwhile
            for thread in Path(f"/proc/{each}/task").iterdir():
                with suppress(OSError):
                    pids += map(int, (thread / "children").read_text(encoding="ascii").split())
    return pids


def _stat(pid: int) -> Sequence[str]:
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(") ", 1)[1].split()


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else ""
