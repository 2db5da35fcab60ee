"""Kills and restarts of the node under running pods, against both API servers."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from rayfleet.kube.client import KubeClient
from rayfleet.kube.config import connect
from rayfleet.local.node.cleanup import cleanup
from rayfleet.local.node.processes import MARK, STATE_MARK, marked_processes
from rayfleet.model.resources import PODS
from rayfleet.objects.pods import is_ready
from rayfleet.testing.nodes import (
    NodeProcess,
    container_processes,
    first_status,
    kill_container,
    node_process,
    run_pod,
    shell_pod,
)
from rayfleet.testing.realkube import RealKubeServer, default_cache, ensure_binaries
from rayfleet.testing.waiting import until


async def test_a_killed_node_takes_its_pods_back(client: KubeClient, namespace: str, own_node: NodeProcess) -> None:
    watched = await run_pod(client, shell_pod(namespace, "kept"), own_node)
    before = await watched.until(is_ready)
    first = container_processes(before)[0]
    await own_node.end(signal.SIGKILL)
    assert first in container_processes(before)
    await own_node.start()
    marker = await run_pod(client, shell_pod(namespace, "next"), own_node)
    await marker.until(is_ready)
    after = await watched.until(is_ready)
    assert first in container_processes(after)
    assert after["status"]["startTime"] == before["status"]["startTime"]
    assert first_status(after) == first_status(before)
    assert after["status"]["conditions"] == before["status"]["conditions"]  # it never was unready
    kill_container(after)
    found = await watched.until(lambda now: first_status(now)["restartCount"] == 1 and is_ready(now))
    ended = first_status(found)["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "ContainerStatusUnknown")
    await client.delete(PODS, watched.key)
    await watched.gone()
    assert container_processes(found) == []


async def test_a_container_that_died_without_a_node_is_restarted_and_counted(
    client: KubeClient, namespace: str, own_node: NodeProcess
) -> None:
    watched = await run_pod(client, shell_pod(namespace, "lost"), own_node)
    before = await watched.until(is_ready)
    await own_node.end(signal.SIGKILL)
    kill_container(before)
    await own_node.start()
    found = await watched.until(lambda now: first_status(now)["restartCount"] == 1 and is_ready(now))
    assert first_status(found)["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"


async def test_processes_of_pods_that_are_gone_are_ended_at_the_next_start(
    client: KubeClient, namespace: str, own_node: NodeProcess
) -> None:
    watched = await run_pod(client, shell_pod(namespace, "orphan"), own_node)
    before = await watched.until(is_ready)
    await own_node.end(signal.SIGKILL)
    await client.delete(PODS, watched.key, grace_period_seconds=0)
    assert container_processes(before)
    await own_node.start()
    await until(lambda: container_processes(before), "the processes are ended", holds=lambda left: not left)


async def test_sigterm_ends_the_containers_unless_told_to_leave_them(
    client: KubeClient, namespace: str, own_node: NodeProcess
) -> None:
    own_node.flags = (*own_node.flags, "--leave-running")
    watched = await run_pod(client, shell_pod(namespace, "stays"), own_node)
    before = await watched.begun(own_node)
    await own_node.end(signal.SIGKILL)
    await own_node.start()
    await watched.until(is_ready)
    await (await run_pod(client, shell_pod(namespace, "probe-1"), own_node)).until(is_ready)
    assert await own_node.end() == 0
    assert container_processes(before)
    own_node.flags = own_node.flags[:-1]
    await own_node.start()
    await (await run_pod(client, shell_pod(namespace, "probe-2"), own_node)).until(is_ready)
    assert await own_node.end() == 0
    assert not container_processes(before)
    assert "bye" in own_node.logs(before)


async def test_cleanup_leaves_nothing(client: KubeClient, namespace: str, own_node: NodeProcess) -> None:
    watched = await run_pod(client, shell_pod(namespace, "left"), own_node)
    found = await watched.until(is_ready)
    await own_node.end(signal.SIGKILL)
    assert await asyncio.to_thread(cleanup, own_node.state) >= 1
    assert marked_processes(str(own_node.state), STATE_MARK) == []
    assert marked_processes(f"{found['metadata']['uid']}/main", MARK) == []


async def test_a_missing_kubeconfig_is_one_line(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rayfleet.local.node", "--state", str(tmp_path), stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode().startswith("error: --kubeconfig is missing")


@pytest.mark.realkube
async def test_an_api_server_that_is_away_stops_no_container_and_hears_the_news_later(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    owner = RealKubeServer(ensure_binaries(default_cache(), progress=print), tmp_path / "api")
    try:
        running = await asyncio.to_thread(owner.start)
        async with await connect(running.kubeconfig) as client, node_process(client, running.kubeconfig, state) as node:
            watched = await run_pod(client, shell_pod("default", "stays"), node)
            before = await watched.begun(node)
            await asyncio.to_thread(owner.stop)
            kill_container(before)
            await until(lambda: node.logs(before), "it runs again", holds=lambda log: log.count("begun") >= 2)
            assert container_processes(before)
            await asyncio.to_thread(owner.start)
            found = await watched.until(lambda now: first_status(now)["restartCount"] == 1 and is_ready(now))
            assert found["metadata"]["uid"] == before["metadata"]["uid"]
    finally:
        await asyncio.to_thread(owner.close)
