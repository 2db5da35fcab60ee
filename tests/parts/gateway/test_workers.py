"""Several gateway processes on one port, each with metrics of its own."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from rayfleet.testing.ports import held_ports
from rayfleet.testing.waiting import LIMIT_SECONDS, until
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.planes.python.workers import worker_arguments

ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: m, namespace: default}
spec:
  rules:
  - matches: [{path: {type: PathPrefix, value: /v1/completions}, headers: [{name: model, value: m}]}]
    backendRefs: [{name: none, port: 80}]
"""


ENGINE = """\
---
apiVersion: v1
kind: Service
metadata: {name: none, namespace: default}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: none-1, namespace: default, labels: {kubernetes.io/service-name: none}}
addressType: IPv4
ports: [{name: http, port: %d}]
endpoints: [{addresses: [127.0.0.1]}]
"""


@dataclass(frozen=True)
class Asked:
    """A gateway's parent, and a request that one of its workers has."""

    process: asyncio.subprocess.Process
    request: asyncio.Task[aiohttp.ClientResponse]
    command: Sequence[str]
    session: aiohttp.ClientSession
    pages: Sequence[str]  # of each worker, whether it is ready

    async def is_ready(self) -> bool:
        """Whether all workers are."""
        return await self._statuses() == {200}

    async def is_leaving(self) -> bool:
        """Whether no worker is ready."""
        return 200 not in await self._statuses()

    async def is_gone(self) -> bool:
        """Whether no worker listens for operators."""
        return await self._statuses() == {0}

    async def _statuses(self) -> set[int]:
        return {await _status(self.session, page) for page in self.pages}


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_a_worker_has_its_own_port_of_operators_and_its_part_of_the_budget() -> None:
    settings = GatewaySettings(workers=4, admin_port=9000, body_budget_bytes=1000, body_limit_bytes=200)
    words = worker_arguments(["--port", "80", "--workers", "4"], settings, 2, parent=77)
    assert words[:4] == ["--port", "80", "--workers", "4"]
    assert " ".join(words[4:]) == "--workers 1 --_parent 77 --admin-port 9002 --body-limit 200 --body-budget 250"


async def test_workers_share_a_port_are_started_again_and_stop_together(tmp_path: Path, held: ExitStack) -> None:
    (tmp_path / "route.yaml").write_text(ROUTE, encoding="utf-8")
    port, admin, _ = held.enter_context(held_ports(3))
    ports = ["--port", str(port), "--admin-port", str(admin), "--lag", "0", "--workers", "2"]
    command = [sys.executable, "-m", "rayfleet_gateway", "--config", str(tmp_path), *ports]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        async with aiohttp.ClientSession() as session:
            pages = [f"http://127.0.0.1:{admin + place}/readyz" for place in range(2)]
            for page in pages:
                await until(partial(_status, session, page), "it is ready", holds=lambda got: got == 200)
            models = await (await session.get(f"http://127.0.0.1:{port}/v1/models")).json()
            assert [each["id"] for each in models["data"]] == ["m"]
            killed = _children(process.pid)[0]
            os.kill(killed, signal.SIGKILL)
            await until(lambda: killed not in _children(process.pid), "it is gone, and its port of operators with it")
            await until(lambda: _both(session, pages), "another one is there for it")
        process.terminate()
        _, errors = await asyncio.wait_for(process.communicate(), LIMIT_SECONDS)
        assert (process.returncode, b"Traceback" in errors) == (0, False)
    finally:
        await _ended(process)


async def test_without_a_limit_of_its_own_no_body_is_taken_that_the_budget_could_not_hold(
    tmp_path: Path, held: ExitStack
) -> None:
    """It would be told to come again, for ever."""
    (tmp_path / "route.yaml").write_text(ROUTE, encoding="utf-8")
    port, admin = held.enter_context(held_ports(2))
    ports = ["--port", str(port), "--admin-port", str(admin), "--lag", "0", "--body-budget", "1000"]
    command = [sys.executable, "-m", "rayfleet_gateway", "--config", str(tmp_path), *ports]
    process = await asyncio.create_subprocess_exec(*command)
    try:
        async with aiohttp.ClientSession() as session:
            page = f"http://127.0.0.1:{admin}/readyz"
            await until(lambda: _status(session, page), "it is ready", holds=lambda got: got == 200)
            url = f"http://127.0.0.1:{port}/v1/completions"
            statuses = [
                (await session.post(url, json={"model": "m", "prompt": "x" * size})).status for size in (10, 1000)
            ]
            assert statuses == [500, 413]
    finally:
        await _ended(process)


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


async def _both(session: aiohttp.ClientSession, pages: list[str]) -> bool:
    return [await _status(session, page) for page in pages] == [200, 200]


async def _status(session: aiohttp.ClientSession, page: str) -> int:
    try:
        async with session.get(page) as response:
            return response.status
    except aiohttp.ClientError:
        return 0


@asynccontextmanager
async def _asked_workers(folder: Path, ports: Sequence[int], answers: asyncio.Event) -> AsyncIterator[Asked]:
    """Two workers, and a request that an engine has and answers only when ``answers`` is set."""
    asked = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        asked.set()
        await answers.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    engine = await asyncio.start_server(answer, "127.0.0.1", 0)
    (folder / "route.yaml").write_text(ROUTE + ENGINE % engine.sockets[0].getsockname()[1], encoding="utf-8")
    port, admin = ports
    words = ["--port", str(port), "--admin-port", str(admin), "--lag", "0", "--drain", "600", "--workers", "2"]
    command = [sys.executable, "-m", "rayfleet_gateway", "--config", str(folder), *words]
    process = await asyncio.create_subprocess_exec(*command, start_new_session=True)
    try:
        async with aiohttp.ClientSession() as session:
            pages = [f"http://127.0.0.1:{admin + place}/readyz" for place in range(2)]
            for page in pages:
                await until(partial(_status, session, page), "it is ready", holds=lambda got: got == 200)
            body = {"model": "m", "prompt": "x"}
            request = asyncio.create_task(session.post(f"http://127.0.0.1:{port}/v1/completions", json=body))
            await asked.wait()
            yield Asked(process, request, command, session, pages)
    finally:
        answers.set()
        engine.close()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_for_the_parent_and_its_workers_lets_answers_finish(
    number: signal.Signals, tmp_path: Path, held: ExitStack
) -> None:
    """Ctrl-C in a terminal and systemd tell each process, and the parent tells its workers: that was a second time."""
    port, admin, _ = held.enter_context(held_ports(3))
    answers = asyncio.Event()
    async with _asked_workers(tmp_path, [port, admin], answers) as asked:
        os.killpg(asked.process.pid, number)
        await until(asked.is_leaving, "all drain")
        await asyncio.sleep(0.3)  # the parent's words are there too
        answers.set()
        assert (await asked.request).status == 200
        assert await asyncio.wait_for(asked.process.wait(), LIMIT_SECONDS) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["parent", "all"])
async def test_the_same_signal_once_more_ends_workers_at_once(
    send: Callable[[int, int], None], number: signal.Signals, tmp_path: Path, held: ExitStack
) -> None:
    port, admin, _ = held.enter_context(held_ports(3))
    async with _asked_workers(tmp_path, [port, admin], asyncio.Event()) as asked:
        send(asked.process.pid, number)
        await until(asked.is_leaving, "all drain")
        assert not asked.request.done()
        send(asked.process.pid, number)
        assert (await asyncio.wait_for(asked.request, LIMIT_SECONDS)).status == 503
        assert await asyncio.wait_for(asked.process.wait(), LIMIT_SECONDS) == 0


@pytest.mark.parametrize("drains", [False, True])
async def test_workers_whose_parent_is_killed_drain_and_end(drains: bool, tmp_path: Path, held: ExitStack) -> None:
    """They served on for ever, and held the ports that its successor needs; those that drained held them until then."""
    port, admin, _ = held.enter_context(held_ports(3))
    answers = asyncio.Event()
    async with _asked_workers(tmp_path, [port, admin], answers) as asked:
        if drains:
            asked.process.terminate()
            await until(asked.is_leaving, "all drain")
        asked.process.kill()
        await until(asked.is_gone, "the ports of operators are free")
        successor = await asyncio.create_subprocess_exec(*asked.command, start_new_session=True)
        try:
            await until(asked.is_ready, "the successor's workers are there")
            answers.set()
            assert (await asked.request).status == 200
            successor.terminate()
            assert await asyncio.wait_for(successor.wait(), LIMIT_SECONDS) == 0
        finally:
            if successor.returncode is None:
                os.killpg(successor.pid, signal.SIGKILL)
                await successor.wait()


async def test_a_worker_whose_parent_is_gone_before_it_listens_takes_no_port(tmp_path: Path, held: ExitStack) -> None:
    """Its parent's successor needs them, and could not start."""
    port, admin = held.enter_context(held_ports(2))
    ports = ["--port", str(port), "--admin-port", str(admin), "--_parent", str(1 << 22)]  # more than the kernel gives
    command = [sys.executable, "-m", "rayfleet_gateway", "--config", str(tmp_path), *ports]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        _, errors = await asyncio.wait_for(process.communicate(), LIMIT_SECONDS)
        assert (process.returncode, b"listening" in errors) == (0, False)
    finally:
        await _ended(process)


@pytest.mark.parametrize("wrong", [["--config", "/nowhere"], ["--host", "192.0.2.1"], ["--access-log", "/nowhere/log"]])
async def test_workers_that_cannot_start_end_all_of_it(wrong: list[str], tmp_path: Path, held: ExitStack) -> None:
    """They were started again for ever."""
    port, admin, _ = held.enter_context(held_ports(3))
    ports = ["--port", str(port), "--admin-port", str(admin), "--lag", "0", "--workers", "2"]
    command = [sys.executable, "-m", "rayfleet_gateway", "--config", str(tmp_path), *ports, *wrong]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        _, errors = await asyncio.wait_for(process.communicate(), LIMIT_SECONDS)
        assert process.returncode == 1
        assert wrong[0].encode() in errors
        assert b"Traceback" not in errors
    finally:
        await _ended(process)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_signals_up_to_the_very_end_change_no_exit_code(workers: str, tmp_path: Path, held: ExitStack) -> None:
    """One that came when the loop was closed already ended the process: 143, as if it had not drained."""
    port, admin, _ = held.enter_context(held_ports(3))
    ports = ["--port", str(port), "--admin-port", str(admin), "--lag", "0", "--workers", workers]
    command = [sys.executable, "-m", "rayfleet_gateway", "--config", str(tmp_path), *ports]
    process = await asyncio.create_subprocess_exec(*command)

    def is_over() -> bool:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)  # its ``terminate`` looks first, and an exit code that it sees is lost
        return process.returncode is not None

    try:
        async with aiohttp.ClientSession() as session:
            page = f"http://127.0.0.1:{admin}/readyz"
            await until(partial(_status, session, page), "it is ready", holds=lambda got: got == 200)
        await until(is_over, "it ends")
        assert process.returncode == 0
    finally:
        await _ended(process)
