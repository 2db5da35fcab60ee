"""Pods become processes and end to the last one, against both API servers."""

import itertools
from pathlib import Path
from time import monotonic

import pytest

from rayfleet.kube.client import KubeClient
from rayfleet.model.json import Json
from rayfleet.model.resources import CONFIG_MAPS, EVENTS, PODS, SECRETS
from rayfleet.objects.pods import is_ready
from rayfleet.testing.nodes import (
    IMAGE,
    NodeProcess,
    container_processes,
    exists,
    first_status,
    is_alive,
    kill_container,
    pod_conditions,
    run_pod,
    shell_pod,
)
from rayfleet.testing.waiting import until

DEAF = "trap '' TERM; echo begun; while :; do sleep 0.1; done"


async def test_a_pod_is_bound_and_becomes_a_ready_process(
    client: KubeClient, namespace: str, node: NodeProcess
) -> None:
    watched = await run_pod(client, shell_pod(namespace, "one"))
    found = await watched.begun(node)
    assert found["spec"]["nodeName"] == node.name
    assert found["status"]["phase"] == "Running"
    assert found["status"]["podIP"].startswith("127.77.")
    assert set(pod_conditions(found).values()) == {"True"}
    assert "running" in first_status(found)["state"]
    assert len(container_processes(found)) >= 1


async def test_a_bound_pod_starts_fast(client: KubeClient, namespace: str, node: NodeProcess, tmp_path: Path) -> None:
    """The best of as many as it takes: the machine that runs the tests is shared."""
    numbers = itertools.count()

    async def seconds() -> float:
        name = f"fast-{next(numbers)}"
        began = monotonic()
        await run_pod(client, shell_pod(namespace, name, f"touch {tmp_path / name}; sleep 60"), node)
        await until((tmp_path / name).exists, "the container has begun", every=0.001)
        return monotonic() - began

    await until(seconds, "a start in half a second", holds=lambda best: best < 0.5)  # 15 ms where it was measured


async def test_sigterm_then_gone_with_every_process(
    client: KubeClient, namespace: str, node: NodeProcess, tmp_path: Path
) -> None:
    goes_when_it_may = f"while [ ! -e {tmp_path}/may-go ]; do sleep 0.05; done; echo bye; exit 0"
    script = f"trap '{goes_when_it_may}' TERM; echo begun; while :; do sleep 0.1; done"
    pod = shell_pod(namespace, "leaves", script, terminationGracePeriodSeconds=300)
    watched = await run_pod(client, pod, node)
    found = await watched.begun(node)
    await client.delete(PODS, watched.key)
    await watched.until(lambda now: pod_conditions(now)["Ready"] == "False")
    (tmp_path / "may-go").touch()
    await watched.gone()
    assert container_processes(found) == []
    assert "bye" in node.logs(found)


async def test_daemons_with_sessions_and_clean_environments_are_ended(
    client: KubeClient, namespace: str, node: NodeProcess, tmp_path: Path
) -> None:
    """A process that gave up session, parent and environment is still the container's."""
    script = f"env -i setsid bash -c '{tells_its_pid(tmp_path)}' & disown; exec sleep 300"
    watched = await run_pod(client, shell_pod(namespace, "daemon", script), node)
    await watched.until(lambda now: is_ready(now) and (tmp_path / "pid").exists())
    daemon = int((tmp_path / "pid").read_text())
    assert is_alive(daemon)
    await client.delete(PODS, watched.key)
    await watched.gone()
    assert not is_alive(daemon)


def tells_its_pid(folder: Path) -> str:
    """Return a script that sleeps, and whose pid is in the file ``pid`` as soon as that is there."""
    return f"echo $BASHPID > {folder}/pid.new; mv {folder}/pid.new {folder}/pid; exec sleep 300"


async def test_orphans_of_a_crashed_first_process_are_ended(
    client: KubeClient, namespace: str, node: NodeProcess, tmp_path: Path
) -> None:
    waits = f"while [ ! -e {tmp_path}/pid ]; do sleep 0.05; done"
    script = f"env -i setsid bash -c '{tells_its_pid(tmp_path)}' & {waits}; kill -9 $BASHPID"
    watched = await run_pod(client, shell_pod(namespace, "crash", script, restartPolicy="Never"), node)
    found = await watched.until(lambda now: now["status"]["phase"] == "Failed")
    assert first_status(found)["state"]["terminated"]["exitCode"] == 137
    orphan = int((tmp_path / "pid").read_text())
    await until(lambda: not is_alive(orphan), "the orphan is ended")


async def test_a_process_that_ignores_sigterm_is_killed_after_its_grace(
    client: KubeClient, namespace: str, node: NodeProcess
) -> None:
    watched = await run_pod(client, shell_pod(namespace, "stubborn", DEAF, terminationGracePeriodSeconds=1), node)
    found = await watched.begun(node)
    began = monotonic()
    await client.delete(PODS, watched.key)
    await watched.gone()
    assert 0.9 < monotonic() - began < 30  # what a pod has that says nothing
    assert container_processes(found) == []


async def test_a_forced_deletion_ends_the_processes_too(client: KubeClient, namespace: str, node: NodeProcess) -> None:
    watched = await run_pod(client, shell_pod(namespace, "forced", DEAF), node)
    found = await watched.begun(node)
    await client.delete(PODS, watched.key, grace_period_seconds=0)
    await until(lambda: container_processes(found), "the processes are ended", holds=lambda left: not left)


async def test_a_killed_container_restarts_at_once_then_backs_off(
    client: KubeClient, namespace: str, node: NodeProcess
) -> None:
    watched = await run_pod(client, shell_pod(namespace, "again"), node)
    found = await watched.begun(node)
    uid = found["metadata"]["uid"]
    kill_container(found)
    backed_off = 0

    def is_back(now: Json) -> bool:
        nonlocal backed_off
        backed_off += first_status(now)["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"
        return first_status(now)["restartCount"] == 1 and is_ready(now)

    found = await watched.until(is_back)
    assert backed_off == 0, "the first restart waits for nothing"
    await watched.begun(node, runs=2)
    assert found["metadata"]["uid"] == uid
    assert first_status(found)["lastState"]["terminated"]["exitCode"] == 137
    kill_container(found)
    found = await watched.until(lambda now: "waiting" in first_status(now)["state"])
    assert first_status(found)["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert pod_conditions(found)["Ready"] == "False"
    message = "back-off 10s restarting failed container=main"
    await until(lambda: has_event(client, namespace, "BackOff", message), "an Event tells of the back-off")
    await client.delete(PODS, watched.key)  # a back-off does not hold up the end
    await watched.gone()
    assert node.logs(found).count("begun") == 2, "it ended before it was started again"


@pytest.mark.parametrize(("script", "phase", "code"), [("exit 0", "Succeeded", 0), ("exit 7", "Failed", 7)])
async def test_a_pod_that_never_restarts_ends_and_its_object_stays(
    client: KubeClient, namespace: str, node: NodeProcess, script: str, phase: str, code: int
) -> None:
    watched = await run_pod(client, shell_pod(namespace, "once", script, restartPolicy="Never"), node)
    found = await watched.until(lambda now: now["status"]["phase"] == phase)
    assert first_status(found)["state"]["terminated"]["exitCode"] == code
    other = await run_pod(client, shell_pod(namespace, "other"), node)
    await other.until(is_ready)
    assert await exists(client, PODS, watched.key)
    await client.delete(PODS, watched.key)
    await watched.gone()


async def test_init_containers_run_in_order_and_again_when_they_fail(
    client: KubeClient, namespace: str, node: NodeProcess, tmp_path: Path
) -> None:
    once = f"test -e {tmp_path}/tried && echo second >> {tmp_path}/order || {{ touch {tmp_path}/tried; exit 1; }}"
    init = [
        {"name": "a", "image": IMAGE, "command": ["bash", "-c", f"echo first >> {tmp_path}/order"]},
        {"name": "b", "image": IMAGE, "command": ["bash", "-c", once]},
    ]
    script = f"echo main >> {tmp_path}/order; echo begun; sleep 60"
    watched = await run_pod(client, shell_pod(namespace, "init", script, initContainers=init), node)
    found = await watched.begun(node)
    assert (tmp_path / "order").read_text().split() == ["first", "second", "main"]
    by_name = {each["name"]: each for each in found["status"]["initContainerStatuses"]}
    assert by_name["b"]["restartCount"] == 1
    assert by_name["b"]["state"]["terminated"]["exitCode"] == 0


async def test_environment_comes_from_fields_secrets_and_config_maps(
    client: KubeClient, namespace: str, node: NodeProcess
) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": namespace},
        "stringData": {"k": "hidden"},
    }
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": namespace},
        "data": {"A": "1", "B": "2"},
    }
    env = [
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "URL", "value": "http://$(POD_IP):8000/$(MISSING)/$$(POD_IP)"},
    ]
    container = {"env": env, "envFrom": [{"configMapRef": {"name": "c"}, "prefix": "P_"}]}
    script = "env; echo all told; exec sleep 60"
    watched = await run_pod(client, shell_pod(namespace, "env", script, container=container), node)
    waiting = await watched.until(
        lambda now: first_status(now)["state"]["waiting"]["reason"] == "CreateContainerConfigError"
    )
    assert "configMap 'c'" in first_status(waiting)["state"]["waiting"]["message"]
    await client.create(CONFIG_MAPS, config)
    await client.create(SECRETS, secret)
    found = await watched.until(is_ready)
    await until(lambda: node.logs(found), "the environment is in the log", holds=lambda log: "all told" in log)
    lines = node.logs(found).splitlines()
    address = found["status"]["podIP"]
    assert {"TOKEN=hidden", "P_A=1", "P_B=2", f"URL=http://{address}:8000/$(MISSING)/$(POD_IP)"} <= set(lines)
    assert not any(line.startswith("KUBECONFIG=") for line in lines)


async def test_an_unknown_image_says_the_way_out(client: KubeClient, namespace: str, node: NodeProcess) -> None:
    image = await run_pod(client, shell_pod(namespace, "image", container={"image": "nginx:1"}), node)
    found = await image.until(
        lambda now: (
            "waiting" in first_status(now)["state"]
            and first_status(now)["state"]["waiting"]["reason"] == "ErrImagePull"
        )
    )
    assert "rayfleet.local/host" in first_status(found)["state"]["waiting"]["message"]


async def has_event(client: KubeClient, namespace: str, reason: str, message: str) -> bool:
    found = (await client.list(EVENTS, namespace)).items
    return any((each["reason"], each["message"]) == (reason, message) for each in found)
