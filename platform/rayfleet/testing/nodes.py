"""A node as its own process, and pods looked at until they are as wanted: for tests against any API server."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import NotFound
from rayfleet.local.node.cleanup import cleanup
from rayfleet.local.node.folders import pod_folder
from rayfleet.local.node.processes import marked_processes
from rayfleet.local.node.views import container_mark
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import NODES, PODS, ResourceType
from rayfleet.objects import pods
from rayfleet.objects.conditions import conditions_of
from rayfleet.objects.meta import key_of, name_of, namespace_of, uid_of

IMAGE = "rayfleet.local/host"
# A first process that ends at SIGTERM, with a word in the log.
SERVE = "trap 'echo bye; exit 0' TERM; echo begun; while :; do sleep 0.1; done"
LOOK_SECONDS = 0.02
END_LIMIT_SECONDS = 20.0
LIMIT_SECONDS = 60.0  # a machine that runs tests is busy


@dataclass(slots=True, kw_only=True)
class NodeProcess:
    """A node process; it can be killed and started again on the same state."""

    kubeconfig: Path
    state: Path
    name: str
    flags: tuple[str, ...] = ()
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process; it runs pods when it has found the API server."""
        command = ["-m", "rayfleet.local.node", "--kubeconfig", str(self.kubeconfig), "--state", str(self.state)]
        with (self.state / "node.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, *command, "--name", self.name, *self.flags, stdout=log, stderr=log
            )

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        async with asyncio.timeout(END_LIMIT_SECONDS):
            return await self.process.wait()

    def logs(self, pod: ReadOnlyJson, container: str = "main") -> str:
        """Return what a container has written, all its runs."""
        folder = self.state / "pods" / pod_folder(namespace_of(pod), name_of(pod), uid_of(pod)) / container
        return "".join(path.read_text(errors="replace") for path in sorted(folder.glob("*.log")))


@dataclass(slots=True)
class WatchedPod:
    """One pod, looked at until it is as wanted."""

    client: KubeClient
    key: ObjectKey
    last: Json | None = None

    async def until(self, claim: Callable[[Json], Any], seconds: float = LIMIT_SECONDS) -> Json:
        """Return the pod as soon as the claim holds; a field that is not there yet makes it false.

        Raises AssertionError.
        """
        try:
            async with asyncio.timeout(seconds):
                while True:
                    self.last = await self.client.get(PODS, self.key.name, self.key.namespace)
                    with contextlib.suppress(KeyError, IndexError):
                        if claim(self.last):
                            return self.last
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            raise AssertionError(f"not reached: {self.last}") from None

    async def gone(self, seconds: float = LIMIT_SECONDS) -> None:
        """Return when the pod's object is gone. Raises TimeoutError."""

        async def is_gone() -> bool:
            return not await exists(self.client, PODS, self.key)

        await eventually(is_gone, seconds)


@asynccontextmanager
async def node_process(
    client: KubeClient, kubeconfig: Path, state: Path, flags: tuple[str, ...] = ()
) -> AsyncIterator[NodeProcess]:
    """Run a node with a name of its own; at the end nothing of it is left."""
    node = NodeProcess(kubeconfig=kubeconfig, state=state, name=f"node-{uuid4().hex[:6]}", flags=flags)
    key = ObjectKey(namespace="", name=node.name)
    await node.start()
    try:
        await eventually(lambda: _is_registered(client, node.name))
        yield node
    finally:
        if node.process is not None and node.process.returncode is None:
            await node.end(signal.SIGKILL)
        await asyncio.to_thread(cleanup, state)
        with contextlib.suppress(NotFound):
            await client.delete(NODES, key)


async def _is_registered(client: KubeClient, name: str) -> bool:
    try:
        return bool((await client.get(NODES, name)).get("status", {}).get("capacity"))
    except NotFound:
        return False


async def exists(client: KubeClient, resource: ResourceType, key: ObjectKey) -> bool:
    """Whether an object is there."""
    try:
        await client.get(resource, key.name, key.namespace or None)
    except NotFound:
        return False
    return True


async def eventually(claim: Callable[[], Awaitable[Any]], seconds: float = LIMIT_SECONDS) -> Any:
    """Return the claim's value as soon as it is true. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not (found := await claim()):
            await asyncio.sleep(LOOK_SECONDS)
    return found


async def run_pod(client: KubeClient, manifest: Json, node: NodeProcess | None = None) -> WatchedPod:
    """Create a pod, bound to ``node`` or left to be scheduled."""
    if node is not None:
        manifest["spec"]["nodeName"] = node.name
    made = await client.create(PODS, manifest)
    return WatchedPod(client, key_of(made))


def shell_pod(namespace: str, name: str, script: str = SERVE, **spec: Any) -> Json:
    """Return a pod whose container ``main`` runs a bash script.

    ``container`` adds to it, other names to the pod's spec.
    """
    container = {"name": "main", "image": IMAGE, "command": ["/bin/bash", "-c", script], **spec.pop("container", {})}
    meta = {"name": name, "namespace": namespace}
    whole = {"containers": [container], "terminationGracePeriodSeconds": 5, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": whole}


def pod_conditions(pod: ReadOnlyJson) -> dict[str, str]:
    """Return the status of each condition."""
    return {each["type"]: each["status"] for each in conditions_of(pod)}


def is_ready(pod: ReadOnlyJson) -> bool:
    """Whether a pod's condition Ready is True."""
    return pods.is_ready(pod)


def first_status(pod: ReadOnlyJson) -> Json:
    """Return the status of a pod's first container."""
    status: Json = pod["status"]["containerStatuses"][0]
    return status


def container_processes(pod: ReadOnlyJson, container: str = "main") -> list[int]:
    """Return the pids of a container's living processes."""
    return marked_processes(container_mark(uid_of(pod), container))
