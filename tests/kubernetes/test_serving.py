"""rayfleet on a real Kubernetes: as real containers, under Pod Security's ``restricted``, with the real KubeRay."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.kubernetes.clients import ask_once, asking
from tests.kubernetes.installation import NAMESPACE

from rayfleet.model.json import Json
from rayfleet.testing.kubectl import Kubectl
from rayfleet.testing.waiting import wait_until

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(5400)]

LIMIT_SECONDS = 900.0


@pytest.fixture(autouse=True)
def settled(installed: Kubectl, fleet: str) -> None:
    """Each test begins with as many available replicas as the fleet asks for, all of the newest revision."""
    _wait_settled(installed, fleet)


def test_the_quickstart_answers_through_the_gateways_service(installed: Kubectl, fleet: str) -> None:
    assert "Paris" in ask_once(installed, fleet)


def _scale(kubectl: Kubectl, fleet: str) -> None:
    for replicas in (3, 1, 2):
        kubectl("scale", f"rcf/{fleet}", f"--replicas={replicas}")
        _wait_settled(kubectl, fleet)


def _roll_and_undo(kubectl: Kubectl, fleet: str) -> None:
    before = _pods(kubectl, fleet)
    environment = '{"spec":{"serving":{"env":[{"name":"ROLLED","value":"1"}]}}}'
    for patch in (environment, '{"spec":{"serving":{"env":null}}}'):
        kubectl("patch", f"rcf/{fleet}", "--type=merge", "-p", patch)
        _wait_settled(kubectl, fleet)
    assert not before & _pods(kubectl, fleet)


def _delete_a_worker(kubectl: Kubectl, fleet: str) -> None:
    worker = _a_pod(kubectl, fleet, "worker")
    kubectl("delete", "pod", worker["metadata"]["name"], "--wait=false")
    _wait_gone(kubectl, worker)


def _kill_a_heads_container(kubectl: Kubectl, fleet: str) -> None:
    head = _a_pod(kubectl, fleet, "head")
    before = _restarts(head, "ray-head")
    killed = _processes(head, "ray-head")
    assert killed
    for process in killed:
        os.kill(process, signal.SIGKILL)
    name = head["metadata"]["name"]
    wait_until(
        lambda: _restarts(kubectl.object("get", "pod", name), "ray-head"),
        f"the container ray-head of {name} is started anew",
        LIMIT_SECONDS,
        holds=lambda restarts: restarts > before,
    )


def _kill_the_leading_controller(kubectl: Kubectl, fleet: str) -> None:
    system = Kubectl(program=kubectl.program, environment=kubectl.environment, namespace=NAMESPACE)
    lease = system.object("get", "lease", "rayfleet-controller")
    leader = system.object("get", "pod", lease["spec"]["holderIdentity"].rpartition("-")[0])
    killed = _processes(leader, "controller")
    assert killed
    for process in killed:
        os.kill(process, signal.SIGKILL)
    _scale(kubectl, fleet)  # by the other, or by the one that was started anew


@pytest.mark.parametrize(
    "deed",
    [_delete_a_worker, _kill_a_heads_container, _scale, _roll_and_undo, _kill_the_leading_controller],
    ids=lambda deed: deed.__name__.strip("_"),
)
def test_no_request_fails(installed: Kubectl, fleet: str, deed: Callable[[Kubectl, str], None]) -> None:
    with asking(installed, fleet) as asked:
        deed(installed, fleet)
        _wait_settled(installed, fleet)
    assert asked.failures == []
    assert asked.count > 0


def _wait_settled(kubectl: Kubectl, fleet: str) -> None:
    def is_settled() -> bool:
        raw = kubectl.object("get", f"rcf/{fleet}")
        status, desired = raw.get("status", {}), raw["spec"]["replicas"]
        counts = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas", "readyReplicas")}
        return status.get("observedGeneration") == raw["metadata"]["generation"] and counts == {desired}

    wait_until(is_settled, f"fleet {fleet} is settled", LIMIT_SECONDS, every=0.5)


def _list(kubectl: Kubectl, fleet: str) -> list[Json]:
    pods: list[Json] = kubectl.object("get", "pods", "-l", f"model.aibrix.ai/name={fleet}")["items"]
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def _pods(kubectl: Kubectl, fleet: str) -> set[str]:
    return {pod["metadata"]["uid"] for pod in _list(kubectl, fleet)}


def _a_pod(kubectl: Kubectl, fleet: str, kind: str) -> Json:
    return next(pod for pod in _list(kubectl, fleet) if pod["metadata"]["labels"].get("ray.io/node-type") == kind)


def _wait_gone(kubectl: Kubectl, pod: Json) -> None:
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]

    def uids() -> list[str]:
        return kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}").split()

    wait_until(uids, f"{name} is gone", LIMIT_SECONDS, holds=lambda seen: uid not in seen)


def _restarts(pod: Json, container: str) -> int:
    return int(_status(pod, container)["restartCount"])


def _status(pod: Json, container: str) -> Json:
    statuses: list[Json] = pod["status"]["containerStatuses"]
    return next(each for each in statuses if each["name"] == container)


def _processes(pod: Json, container: str) -> list[int]:
    """Return the ids of a container's processes on this machine, out of its control group."""
    container_id = _status(pod, container)["containerID"].partition("://")[2]
    groups = Path("/sys/fs/cgroup").glob(f"pids/rayfleet-node/**/{container_id}/cgroup.procs")
    return [int(line) for group in groups for line in group.read_text(encoding="ascii").split()]
