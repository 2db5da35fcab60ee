"""Probes, hooks, accelerators and the Node object, against both API servers."""

import contextlib
import itertools
from pathlib import Path
from time import time

from rayfleet.kube.client import KubeClient
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import LEASES, NODES, PODS
from rayfleet.objects.pods import is_ready
from rayfleet.testing.nodes import (
    NodeProcess,
    exists,
    first_status,
    pod_conditions,
    run_pod,
    shell_pod,
)
from rayfleet.testing.waiting import until

# A program that a busy machine starts late has not failed.
EACH_COUNTS = {"periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 30}


async def test_readiness_follows_its_probe(
    client: KubeClient, namespace: str, node: NodeProcess, tmp_path: Path
) -> None:
    probe = {"exec": {"command": ["test", "-e", str(tmp_path / "well")]}, **EACH_COUNTS}
    watched = await run_pod(client, shell_pod(namespace, "probe", container={"readinessProbe": probe}), node)
    found = await watched.until(lambda now: now["status"]["phase"] == "Running")
    assert not is_ready(found)
    (tmp_path / "well").touch()
    await watched.until(is_ready)
    (tmp_path / "well").unlink()
    found = await watched.until(lambda now: not is_ready(now))
    assert first_status(found)["restartCount"] == 0


async def test_a_flip_is_in_the_status_moments_after_the_probe(
    client: KubeClient, namespace: str, node: NodeProcess, tmp_path: Path
) -> None:
    """From the probe's end to the watch event; the best of as many as it takes, since the machine is shared."""
    numbers = itertools.count()

    async def seconds() -> float:
        name = f"flip-{next(numbers)}"
        probe = {"exec": {"command": ["touch", str(tmp_path / name)]}, "periodSeconds": 3600, "timeoutSeconds": 30}
        listed = await client.list(PODS, namespace)
        await run_pod(client, shell_pod(namespace, name, container={"readinessProbe": probe}), node)
        async with contextlib.aclosing(client.watch(PODS, namespace, resource_version=listed.resource_version)) as told:
            async for event in told:
                if event.object["metadata"].get("name") == name and is_ready(event.object):
                    break
        return time() - (tmp_path / name).stat().st_mtime

    await until(seconds, "a flip in a moment", holds=lambda best: best < 0.25)  # 7 to 9 ms where it was measured


async def test_http_probe_with_headers_on_the_pods_address(
    client: KubeClient, namespace: str, node: NodeProcess
) -> None:
    server = (
        "import http.server, os\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200 if self.headers.get('X-Who') == 'node' else 403); self.end_headers()\n"
        "    def log_message(self, *a): pass\n"
        "http.server.HTTPServer((os.environ['POD_IP'], 8000), H).serve_forever()\n"
    )
    http = {"path": "/health", "port": "web", "httpHeaders": [{"name": "X-Who", "value": "node"}]}
    container = {
        "command": ["python", "-c", server],
        "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "ports": [{"name": "web", "containerPort": 8000}],
        "readinessProbe": {"httpGet": http, "periodSeconds": 1, "timeoutSeconds": 30},
    }
    watched = await run_pod(client, shell_pod(namespace, "http", container=container), node)
    await watched.until(is_ready)


async def test_a_failing_liveness_probe_restarts_the_container(
    client: KubeClient, namespace: str, node: NodeProcess, tmp_path: Path
) -> None:
    fails_once = f"test ! -e {tmp_path}/ill || {{ rm {tmp_path}/ill; exit 1; }}"
    probe = {"exec": {"command": ["bash", "-c", fails_once]}, **EACH_COUNTS}
    watched = await run_pod(client, shell_pod(namespace, "live", container={"livenessProbe": probe}), node)
    await watched.begun(node)
    (tmp_path / "ill").touch()
    found = await watched.until(lambda now: first_status(now)["restartCount"] == 1 and is_ready(now))
    assert "bye" in node.logs(found)


async def test_pre_stop_runs_before_sigterm(client: KubeClient, namespace: str, node: NodeProcess) -> None:
    hook = {"preStop": {"exec": {"command": ["bash", "-c", "echo hooked > hook"]}}}
    script = "trap 'echo saw $(cat hook); exit 0' TERM; echo begun; while :; do sleep 0.1; done"
    watched = await run_pod(client, shell_pod(namespace, "hook", script, container={"lifecycle": hook}), node)
    found = await watched.begun(node)
    await client.delete(PODS, watched.key)
    await watched.gone()
    assert "saw hooked" in node.logs(found)


async def test_accelerators_are_counted_and_the_message_says_what_is_free(
    client: KubeClient, namespace: str, node: NodeProcess
) -> None:
    # Of a name of its own: pods of other tests that nobody has bound yet would have these too.
    gpu = node.own_accelerator
    two = {"resources": {"limits": {gpu: "2"}}}
    first = await run_pod(client, shell_pod(namespace, "first", container=two))
    await first.until(is_ready)
    second = await run_pod(client, shell_pod(namespace, "second", container=two))
    found = await second.until(lambda now: pod_conditions(now).get("PodScheduled") == "False")
    condition = next(each for each in found["status"]["conditions"] if each["type"] == "PodScheduled")
    assert condition["reason"] == "Unschedulable"
    assert f"asks for 2 {gpu}" in condition["message"]
    assert "0 of them are free" in condition["message"]
    assert found["status"]["phase"] == "Pending"
    await client.delete(PODS, first.key)
    await second.until(is_ready)


async def test_the_node_is_registered_with_its_lease(client: KubeClient, own_node: NodeProcess) -> None:
    found = await client.get(NODES, own_node.name)
    assert found["status"]["capacity"]["nvidia.com/gpu"] == "2"
    assert {each["type"]: each["status"] for each in found["status"]["conditions"]}["Ready"] == "True"
    lease = ObjectKey(namespace="kube-node-lease", name=own_node.name)
    await until(lambda: exists(client, LEASES, lease), "the node's Lease")
