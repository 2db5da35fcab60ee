"""What is done to a serving fleet, and looks at what comes of it; each deed returns when the cluster has taken it in.

A kill is one of the machine's own, of the processes in a container's control group: nobody inside is asked.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.kubernetes.installation import CONTROLLERS, GATEWAY, in_namespace

from rayfleet.model.json import Json
from rayfleet.testing.kubectl import Kubectl
from rayfleet.testing.realnode.machine import CGROUP_ROOT, NAME
from rayfleet.testing.waiting import wait_until

LIMIT_SECONDS = 420.0

_NAME, _NODE_TYPE = "model.aibrix.ai/name", "ray.io/node-type"
_COUNTS = ("replicas", "updatedReplicas", "availableReplicas", "readyReplicas")


def scale(kubectl: Kubectl, fleet: str) -> None:
    """Scale by kubectl from two replicas to three, to one, and back."""
    for replicas in (3, 1, 2):
        kubectl("scale", f"rcf/{fleet}", f"--replicas={replicas}")
        wait_settled(kubectl, fleet)


def update_while_the_leader_dies(kubectl: Kubectl, fleet: str) -> None:
    """Change the template, kill the controller that begins to roll it out, and see all pods renewed."""
    before = pod_uids(kubectl, fleet)
    change = '{"spec":{"serving":{"env":{"ROLLED":"1"}}}}'
    kubectl("patch", f"rcf/{fleet}", "--type=merge", "-p", change)
    wait_until(lambda: pod_uids(kubectl, fleet) - before, "the rollout has begun", LIMIT_SECONDS)
    _kill_the_leading_controller(kubectl)
    wait_settled(kubectl, fleet)
    _wait_renewed(kubectl, fleet, before)


def undo_while_the_gateway_rolls(kubectl: Kubectl, fleet: str) -> None:
    """Go back by our command line while the gateway's Deployment is restarted, and see both done."""
    before = pod_uids(kubectl, fleet)
    command = [sys.executable, "-m", "rayfleet.cli.main", "rollout", "undo", f"rcf/{fleet}", "-n", kubectl.namespace]
    done = subprocess.run(command, env=kubectl.environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    in_namespace(kubectl)("rollout", "restart", f"deployment/{GATEWAY}")
    wait_settled(kubectl, fleet)
    _wait_renewed(kubectl, fleet, before)
    _wait_rolled(kubectl, GATEWAY)


def delete_a_worker(kubectl: Kubectl, fleet: str) -> None:
    """Delete a worker's pod, and see it gone."""
    worker = _of_type(kubectl, fleet, "worker")[0]
    kubectl("delete", "pod", worker["metadata"]["name"], "--wait=false")
    _wait_gone(kubectl, worker)


def kill_a_heads_container(kubectl: Kubectl, fleet: str) -> None:
    """Kill all processes of a head's container, and see it started anew."""
    head = _of_type(kubectl, fleet, "head")[0]
    name, restarts = head["metadata"]["name"], _restarts(head, "ray-head")
    _kill(head, "ray-head")
    wait_until(
        lambda: _restarts(kubectl.object("get", "pod", name), "ray-head"),
        f"the container ray-head of {name} is started anew",
        LIMIT_SECONDS,
        holds=lambda seen: seen > restarts,
    )


def drain_the_heads(kubectl: Kubectl, fleet: str) -> None:
    """Cordon the node and evict all heads, as ``kubectl drain`` does; pods may come back once the first is gone.

    The fleet's budget holds the second back until the first replica is there again.
    """
    before = _heads(kubectl, fleet)
    node = _of_type(kubectl, fleet, "head")[0]["spec"]["nodeName"]
    choice = f"--pod-selector={_NAME}={fleet},{_NODE_TYPE}=head"
    flags = ("--delete-emptydir-data", "--force", f"--timeout={LIMIT_SECONDS:.0f}s")
    with kubectl.running("drain", node, choice, *flags, limit_seconds=LIMIT_SECONDS) as draining:
        wait_until(lambda: before - _heads(kubectl, fleet), "the first head is evicted", LIMIT_SECONDS)
        kubectl("uncordon", node)
        told, _ = draining.communicate(timeout=LIMIT_SECONDS)
    assert draining.returncode == 0, told
    assert "disruption budget" in told
    assert not before & _heads(kubectl, fleet)


DEEDS = (
    delete_a_worker,
    kill_a_heads_container,
    drain_the_heads,
    update_while_the_leader_dies,
    undo_while_the_gateway_rolls,
    scale,
)


def wait_settled(kubectl: Kubectl, fleet: str) -> None:
    """Wait until as many replicas as the fleet asks for are available, all of the newest revision."""

    def unsettled() -> Json:
        raw = kubectl.object("get", f"rcf/{fleet}")
        status: Json = raw.get("status", {})
        is_seen = status.get("observedGeneration") == raw["metadata"]["generation"]
        is_settled = is_seen and {status.get(name, 0) for name in _COUNTS} == {raw["spec"]["replicas"]}
        return {} if is_settled else status or {"status": "none"}

    wait_until(unsettled, f"fleet {fleet} is settled", LIMIT_SECONDS, holds=lambda status: not status, every=0.5)


def pod_uids(kubectl: Kubectl, fleet: str) -> set[str]:
    """Return the UIDs of a fleet's pods, without those that end."""
    return {pod["metadata"]["uid"] for pod in _pods(kubectl, fleet)}


def _kill_the_leading_controller(kubectl: Kubectl) -> None:
    system = in_namespace(kubectl)
    holder = system.object("get", "lease", CONTROLLERS)["spec"]["holderIdentity"]
    pods = system.object("get", "pods", "-l", "app.kubernetes.io/component=controller")["items"]
    _kill(next(pod for pod in pods if holder.startswith(pod["metadata"]["name"])), "controller")


def _wait_rolled(kubectl: Kubectl, name: str) -> None:
    system = in_namespace(kubectl)

    def is_rolled() -> bool:
        raw = system.object("get", f"deployment/{name}")
        status, desired = raw["status"], raw["spec"]["replicas"]
        is_seen = status["observedGeneration"] == raw["metadata"]["generation"]
        counts = {status.get(each, 0) for each in ("replicas", "updatedReplicas", "availableReplicas")}
        return is_seen and counts == {desired}

    wait_until(is_rolled, f"deployment {name} is rolled", LIMIT_SECONDS, every=0.5)


def _wait_renewed(kubectl: Kubectl, fleet: str, before: set[str]) -> None:
    """Wait until no pod of before is there, or it ends: the garbage collector comes to them after their Ray cluster."""
    wait_until(
        lambda: before & pod_uids(kubectl, fleet), "all pods are others", LIMIT_SECONDS, holds=lambda left: not left
    )


def _pods(kubectl: Kubectl, fleet: str) -> list[Json]:
    pods: list[Json] = kubectl.object("get", "pods", "-l", f"{_NAME}={fleet}")["items"]
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def _of_type(kubectl: Kubectl, fleet: str, node_type: str) -> list[Json]:
    return [pod for pod in _pods(kubectl, fleet) if pod["metadata"]["labels"].get(_NODE_TYPE) == node_type]


def _heads(kubectl: Kubectl, fleet: str) -> set[str]:
    return {pod["metadata"]["uid"] for pod in _of_type(kubectl, fleet, "head")}


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


def _kill(pod: Json, container: str) -> None:
    """Kill a container's processes, by their ids on this machine, out of its control group (cgroup v1 or v2)."""
    container_id = _status(pod, container)["containerID"].partition("://")[2]
    files = {path for place in (f"pids/{NAME}", NAME) for path in _process_files(CGROUP_ROOT / place, container_id)}
    killed = [int(line) for file in files for line in file.read_text(encoding="ascii").split()]
    assert killed, f"no process of {pod['metadata']['name']}/{container}"
    for process in killed:
        os.kill(process, signal.SIGKILL)


def _process_files(root: Path, container_id: str) -> list[Path]:
    return list(root.glob(f"**/{container_id}/cgroup.procs"))
