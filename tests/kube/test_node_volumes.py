"""Volumes of pods and the words with which containers end, against both API servers."""

from collections.abc import Mapping
from typing import Any

import pytest

from rayfleet.kube.client import KubeClient
from rayfleet.local.node.mounts import can_mount
from rayfleet.model.json import Json
from rayfleet.model.resources import CONFIG_MAPS, PODS, SECRETS
from rayfleet.objects.pods import is_finished, is_ready
from rayfleet.testing.nodes import NodeProcess, first_status, run_pod, shell_pod
from rayfleet.testing.waiting import until

MAY_MOUNT = can_mount()


async def refused(client: KubeClient, manifest: Json, node: NodeProcess) -> str:
    """Return why the node does not configure a container."""
    watched = await run_pod(client, manifest, node)
    reason = "CreateContainerConfigError"
    pod = await watched.until(lambda now: first_status(now)["state"]["waiting"]["reason"] == reason)
    return str(first_status(pod)["state"]["waiting"]["message"])


def with_volumes(namespace: str, name: str, script: str, volumes: Mapping[str, tuple[str, Json]], **spec: Any) -> Json:
    """Return a pod that has each volume (by its name: where, its source)."""
    mounts = [{"name": each, "mountPath": path} for each, (path, _) in volumes.items()]
    sources = [{"name": each, **source} for each, (_, source) in volumes.items()]
    container = {"volumeMounts": mounts, **spec.pop("container", {})}
    return shell_pod(namespace, name, script, container=container, volumes=sources, **spec)


async def test_a_script_comes_from_a_config_map_and_leaves_a_file_to_the_next(
    client: KubeClient, namespace: str, node: NodeProcess
) -> None:
    """An init container and the main one share an empty folder; a probe sees what its container sees."""
    meta = {"namespace": namespace}
    script = {"start.sh": "cat /rayfleet-test/key > /rayfleet-test-shared/ready; echo started"}
    volumes: dict[str, tuple[str, Json]] = {
        "scripts": ("/rayfleet-test-scripts", {"configMap": {"name": "start"}}),
        "key": ("/rayfleet-test", {"projected": {"sources": [{"secret": {"name": "s"}}]}}),
        "shared": ("/rayfleet-test-shared", {"emptyDir": {}}),
    }
    check = {"exec": {"command": ["grep", "hidden", "/rayfleet-test-shared/ready"]}, "periodSeconds": 1}
    pod = with_volumes(namespace, "scripted", "exec sleep 60", volumes, container={"readinessProbe": check})
    command = ["sh", "/rayfleet-test-scripts/start.sh"]
    pod["spec"]["initContainers"] = [{**pod["spec"]["containers"][0], "name": "init", "command": command}]
    del pod["spec"]["initContainers"][0]["readinessProbe"]
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", **meta}, "stringData": {"key": "hidden"}}
    await client.create(SECRETS, secret)
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "start", **meta}, "data": script}
    if not MAY_MOUNT:
        await client.create(CONFIG_MAPS, config)
        pod["spec"]["initContainers"] = []
        assert "'key' cannot be mounted at /rayfleet-test" in await refused(client, pod, node)
        return
    watched = await run_pod(client, pod, node)
    waiting = "there is no configMap 'start'"
    await watched.until(lambda now: waiting in now["status"]["initContainerStatuses"][0]["state"]["waiting"]["message"])
    await client.create(CONFIG_MAPS, config)
    running = await watched.until(is_ready)
    assert node.logs(running, "init") == "started\n"


@pytest.mark.parametrize("kind", ["persistentVolumeClaim", "nfs"])
async def test_what_is_no_volume_here_is_refused_by_its_name(
    client: KubeClient, namespace: str, node: NodeProcess, kind: str
) -> None:
    source = {"claimName": "x"} if kind == "persistentVolumeClaim" else {"server": "x", "path": "/x"}
    pod = with_volumes(namespace, "refused", "true", {"data": ("/data", {kind: source})})
    message = await refused(client, pod, node)
    assert f"'data': {kind} does not work on this machine" in message


@pytest.mark.parametrize(
    ("container", "script", "message"),
    [
        ({}, "echo why > /dev/termination-log; exit 3", "why\n" if MAY_MOUNT else ""),
        (
            {"terminationMessagePath": "/rayfleet-test-end/said"},
            "echo done > /rayfleet-test-end/said; exit 0",
            "done\n" if MAY_MOUNT else "",
        ),
        ({"terminationMessagePolicy": "FallbackToLogsOnError"}, "echo out of luck; exit 3", "out of luck\n"),
        ({}, "echo out of luck; exit 3", ""),
    ],
    ids=["default path", "own path", "the log", "the log is not asked"],
)
async def test_a_container_explains_its_end(
    client: KubeClient, namespace: str, node: NodeProcess, container: Json, script: str, message: str
) -> None:
    pod = shell_pod(namespace, "ends", script, container=container, restartPolicy="Never")
    ended = await (await run_pod(client, pod, node)).until(is_finished)
    assert first_status(ended)["state"]["terminated"].get("message", "") == message


async def test_an_earlier_run_explains_nothing_for_the_next(
    client: KubeClient, namespace: str, node: NodeProcess
) -> None:
    """And an empty folder outlives the run."""
    volumes: dict[str, tuple[str, Json]] = {"kept": ("/rayfleet-test-kept", {"emptyDir": {}})}
    script = (
        "test -e /rayfleet-test-kept/x && exit 0; touch /rayfleet-test-kept/x; echo a > /dev/termination-log; exit 1"
    )
    pod = with_volumes(namespace, "again", script, volumes, restartPolicy="OnFailure")
    if not MAY_MOUNT:
        assert "'kept' cannot be mounted" in await refused(client, pod, node)
        return
    ended = await (await run_pod(client, pod, node)).until(is_finished)
    status = first_status(ended)
    assert status["state"]["terminated"].get("message", "") == ""
    assert status["lastState"]["terminated"]["message"] == "a\n"


async def test_the_volumes_of_a_pod_go_with_it(client: KubeClient, namespace: str, node: NodeProcess) -> None:
    volumes: dict[str, tuple[str, Json]] = {"big": ("/rayfleet-test-big", {"emptyDir": {}})}
    pod = with_volumes(namespace, "big", "echo x > /rayfleet-test-big/x; sleep 60", volumes)
    if not MAY_MOUNT:
        assert "'big' cannot be mounted" in await refused(client, pod, node)
        return
    watched = await run_pod(client, pod, node)
    await watched.until(is_ready)
    await until(lambda: list(node.state.glob("pods/*/.volumes/big/x")), "the file is there")
    await client.delete(PODS, watched.key)
    await watched.gone()
    assert list(node.state.glob("pods/*/.volumes")) == []
