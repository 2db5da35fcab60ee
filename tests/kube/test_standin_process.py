"""``python -m rayfleet.local.manager`` as the process that it is.

Makes nothing twice, survives being killed, ends at SIGTERM.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rayfleet.kube.client import KubeClient
from rayfleet.kube.watching import WatchEventType
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import ENDPOINT_SLICES, PODS, RAY_CLUSTERS
from rayfleet.objects.meta import key_of
from rayfleet.testing.stand_ins import put_pod_status, ray_cluster, running_stand_ins, until_pods, until_status
from rayfleet.testing.waiting import LIMIT_SECONDS, until


@contextlib.asynccontextmanager
async def controllers(kubeconfig: Path, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    command = ("-m", "rayfleet.local.manager", "--kubeconfig", str(kubeconfig))
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=output, stderr=output)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def made_since(client: KubeClient, namespace: str, version: str, upto: ReadOnlyJson) -> list[str]:
    """Return the names of pods made after ``version``, up to a pod that the test made itself."""
    names: list[str] = []
    async with asyncio.timeout(LIMIT_SECONDS):
        async with contextlib.aclosing(client.watch(PODS, namespace, resource_version=version)) as events:
            async for event in events:
                if event.type is WatchEventType.ADDED:
                    if event.object["metadata"]["uid"] == upto["metadata"]["uid"]:
                        return names
                    names.append(event.object["metadata"]["name"])
    raise AssertionError("the watch ended")


def marker(namespace: str) -> Json:
    meta = {"name": "marker", "namespace": namespace}
    spec = {"automountServiceAccountToken": False, "containers": [{"name": "c", "image": "example/engine:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


async def test_a_storm_of_changes_makes_no_pod_twice(client: KubeClient, namespace: str) -> None:
    version = (await client.list(PODS, namespace)).resource_version
    async with running_stand_ins(client):
        manifests = [ray_cluster(namespace, f"c{number}", workers=2) for number in range(5)]
        clusters = [await client.create(RAY_CLUSTERS, manifest) for manifest in manifests]
        for turn in range(10):
            for cluster in clusters:
                annotations = {"metadata": {"annotations": {"turn": str(turn)}}}
                await client.patch(RAY_CLUSTERS, key_of(cluster), annotations)
        for cluster in clusters:
            pods = await until_pods(client, cluster, 1, 2, limit=LIMIT_SECONDS)
            for pod in (*pods["head"], *pods["worker"]):
                await put_pod_status(client, pod, address="10.77.0.2")
        for cluster in clusters:
            await until_status(client, cluster, lambda status: status.get("state") == "ready", limit=LIMIT_SECONDS)
    end = await client.create(PODS, marker(namespace))
    assert len(await made_since(client, namespace, version, end)) == 5 * 3


async def test_a_killed_process_goes_on_where_it_was(
    client: KubeClient, kubeconfig: Path, namespace: str, tmp_path: Path
) -> None:
    version = (await client.list(PODS, namespace)).resource_version
    log = tmp_path / "controllers.log"
    async with controllers(kubeconfig, log) as process:
        cluster = await client.create(RAY_CLUSTERS, ray_cluster(namespace, "one", workers=2))
        await until_pods(client, cluster, 1, 2, limit=LIMIT_SECONDS)
        process.kill()
        await process.wait()
    async with controllers(kubeconfig, log) as process:
        pods = await until_pods(client, cluster, 1, 2, limit=LIMIT_SECONDS)
        for pod in (*pods["head"], *pods["worker"]):
            await put_pod_status(client, pod, address="10.77.0.2")

        async def endpoints() -> list[int]:
            slices = await client.list(
                ENDPOINT_SLICES, namespace, label_selector="kubernetes.io/service-name=one-head-svc"
            )
            return [len(each.get("endpoints") or ()) for each in slices.items]

        await until(endpoints, "one slice with one endpoint", LIMIT_SECONDS, holds=lambda counts: counts == [1])
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT_SECONDS):
            assert await process.wait() == 0, log.read_text()
    end = await client.create(PODS, marker(namespace))
    assert len(await made_since(client, namespace, version, end)) == 3
    assert "Traceback" not in log.read_text()


async def test_a_server_that_is_not_there_is_waited_for_and_then_named(tmp_path: Path) -> None:
    kubeconfig, log = kubeconfig_of_nobody(tmp_path), tmp_path / "log"
    async with controllers(kubeconfig, log) as process, asyncio.timeout(LIMIT_SECONDS):
        assert await process.wait() == 1
    assert "error: http://127.0.0.1:1 does not answer" in log.read_text()
    assert "Traceback" not in log.read_text()


async def test_a_process_that_still_waits_for_its_server_ends_at_sigterm(tmp_path: Path) -> None:
    kubeconfig, log = kubeconfig_of_nobody(tmp_path), tmp_path / "log"
    async with controllers(kubeconfig, log) as process:
        await until(lambda: catches_sigterm(process.pid), "a handler for SIGTERM", LIMIT_SECONDS)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT_SECONDS):
            assert await process.wait() == 0, log.read_text()


def kubeconfig_of_nobody(folder: Path) -> Path:
    """Return a kubeconfig for a port where nothing listens."""
    kubeconfig = folder / "kubeconfig"
    server = "clusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}]"
    context = "contexts: [{name: a, context: {cluster: a, user: a}}]\nusers: [{name: a, user: {token: t}}]"
    kubeconfig.write_text(f"apiVersion: v1\nkind: Config\ncurrent-context: a\n{server}\n{context}\n")
    return kubeconfig


def catches_sigterm(process_id: int) -> bool:
    """Whether the process has a handler for SIGTERM, so that its loop runs."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{process_id}/status").read_text().splitlines())
    return bool(int(fields["SigCgt"], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize(
    ("flags", "code", "words"), [(("--help",), 0, "API server to work on"), ((), 2, "--kubeconfig")]
)
async def test_the_command_explains_itself(flags: tuple[str, ...], code: int, words: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "rayfleet.local.manager", *flags),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(LIMIT_SECONDS):
        said, _ = await process.communicate()
    assert (process.returncode, words in said.decode()) == (code, True)
