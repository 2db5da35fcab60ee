"""A node as its own process, and pods that are waited for: for tests against any API server."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import NotFound
from rayfleet.local.node.cleanup import cleanup
from rayfleet.local.node.folders import pod_folder
from rayfleet.local.node.pod_note import read_note
from rayfleet.local.node.processes import MARK, marked_processes, process_environment
from rayfleet.local.node.views import container_mark
from rayfleet.local.proc import process_ids
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import NODES, PODS, ResourceType
from rayfleet.objects.conditions import conditions_of
from rayfleet.objects.meta import key_of, name_of, namespace_of, uid_of
from rayfleet.objects.parts import part
from rayfleet.objects.pods import container_statuses, is_ready
from rayfleet.testing.namespaces import take_away
from rayfleet.testing.waiting import LIMIT_SECONDS, until

IMAGE = "rayfleet.local/host"
# A first process that ends at SIGTERM, with a word in the log.
SERVE = "trap 'echo bye; exit 0' TERM; echo begun; while :; do sleep 0.1; done"


@dataclass(slots=True, kw_only=True)
class NodeProcess:
    """A node process; it can be killed and started again on the same state, and serve tests with loops of their own."""

    kubeconfig: Path
    state: Path
    name: str
    flags: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start the process; it runs pods when it has found the API server."""
        command = ["-m", "rayfleet.local.node", "--kubeconfig", str(self.kubeconfig), "--state", str(self.state)]
        with (self.state / "node.log").open("ab") as log:
            whole = [sys.executable, *command, "--name", self.name, *self.flags]
            self.process = await asyncio.to_thread(subprocess.Popen, whole, stdout=log, stderr=log)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait, LIMIT_SECONDS)

    @property
    def is_running(self) -> bool:
        """Whether the process has begun and not ended."""
        return self.process is not None and self.process.poll() is None

    @property
    def own_accelerator(self) -> str:
        """The accelerator that pods of no other test ask for; who starts the node says whether it has any."""
        return f"example.com/{self.name}"

    def own_log(self) -> str:
        """Return what the node itself has written."""
        return (self.state / "node.log").read_text(errors="replace")

    def logs(self, pod: ReadOnlyJson, container: str = "main") -> str:
        """Return what a container has written, all its runs."""
        folder = self.state / "pods" / pod_folder(namespace_of(pod), name_of(pod), uid_of(pod)) / container
        return "".join(path.read_text(errors="replace") for path in sorted(folder.glob("*.log")))


@dataclass(slots=True)
class WatchedPod:
    """One pod, looked at until a claim holds."""

    client: KubeClient
    key: ObjectKey

    async def until(self, claim: Callable[[Json], Any], seconds: float = LIMIT_SECONDS) -> Json:
        """Return the pod as soon as the claim holds; a field that is not there yet makes it false.

        Raises NotInTime, with the pod as it was last.
        """

        def holds(pod: Json) -> bool:
            try:
                return bool(claim(pod))
            except (KeyError, IndexError):
                return False

        async def look() -> Json:
            return await self.client.get(PODS, self.key.name, self.key.namespace)

        return await until(look, f"pod {self.key} as claimed", seconds, holds=holds)

    async def begun(self, node: NodeProcess, runs: int = 1) -> Json:
        """Return the pod when it is ready and so many runs of it have written ``begun``, as ``SERVE`` does.

        Without a probe a container is ready as soon as it has a process, which may not have read a line by then.
        """
        return await self.until(lambda pod: is_ready(pod) and node.logs(pod).count("begun\n") >= runs)

    async def gone(self, seconds: float = LIMIT_SECONDS) -> None:
        """Return when the pod's object is gone. Raises NotInTime."""
        await until_gone(self.client, PODS, self.key, limit=seconds)


@dataclass(slots=True, kw_only=True)
class SharedNode:
    """A node that tests have one after the other; where one of them leaves it unfit, the next gets a new one.

    It lives longer than the loop of a test: nothing here may hold on to one.
    """

    kubeconfig: Path
    make_folder: Callable[[], Path]
    flags: tuple[str, ...] = ()
    _node: NodeProcess | None = field(default=None, init=False)

    @asynccontextmanager
    async def lent(
        self, client: KubeClient, namespace: str, *, is_fit: Callable[[], bool]
    ) -> AsyncIterator[NodeProcess]:
        """Give the node; afterwards the pods of ``namespace`` are deleted, and no process with their marks is left.

        ``is_fit`` says then whether the node may serve another test.
        """
        if self._node is not None and not self._node.is_running:
            await self.end(client)
        if self._node is None:
            node = _new_node(self.kubeconfig, self.make_folder(), self.flags)
            node.flags = (*node.flags, "--accelerators", f"{node.own_accelerator}=2")
            self._node = await _registered(client, node)
        node, is_left_well = self._node, False
        try:
            yield node
            await take_away(client, namespace, [PODS])
            if is_fit():
                await until_nothing_left(client, namespace, node)
                is_left_well = True
        finally:
            if not is_left_well:
                await self.end(client)

    async def end(self, client: KubeClient) -> None:
        """End the node, if there is one; nothing of it is left."""
        if self._node is not None:
            node, self._node = self._node, None
            await _end_node(client, node)


@asynccontextmanager
async def node_process(
    client: KubeClient, kubeconfig: Path, state: Path, flags: tuple[str, ...] = ()
) -> AsyncIterator[NodeProcess]:
    """Run a node with a name of its own; at the end nothing of it is left."""
    node = await _registered(client, _new_node(kubeconfig, state, flags))
    try:
        yield node
    finally:
        await _end_node(client, node)


def _new_node(kubeconfig: Path, state: Path, flags: tuple[str, ...]) -> NodeProcess:
    return NodeProcess(kubeconfig=kubeconfig, state=state, name=f"node-{uuid4().hex[:6]}", flags=flags)


async def _registered(client: KubeClient, node: NodeProcess) -> NodeProcess:
    """Start a node and return it when the API server knows it."""
    await node.start()
    try:
        await until(lambda: _is_registered(client, node.name), f"node {node.name} is registered")
    except BaseException:
        await _end_node(client, node)
        raise
    return node


async def _end_node(client: KubeClient, node: NodeProcess) -> None:
    if node.is_running:
        await node.end(signal.SIGKILL)
    await asyncio.to_thread(cleanup, node.state)
    with contextlib.suppress(NotFound):
        await client.delete(NODES, ObjectKey(namespace="", name=node.name))


async def _is_registered(client: KubeClient, name: str) -> bool:
    try:
        return bool(part(await client.get(NODES, name), "status", "capacity"))
    except NotFound:
        return False


async def exists(client: KubeClient, resource: ResourceType, key: ObjectKey) -> bool:
    """Whether an object is there."""
    try:
        await client.get(resource, key.name, key.namespace or None)
    except NotFound:
        return False
    return True


async def until_gone(
    client: KubeClient, resource: ResourceType, *keys: ObjectKey, limit: float = LIMIT_SECONDS
) -> None:
    """Return when none of the objects is there any more. Raises NotInTime, with those that still were."""

    async def remaining() -> list[str]:
        return [str(key) for key in keys if await exists(client, resource, key)]

    await until(remaining, f"{resource.plural} are gone", limit, holds=lambda names: not names)


async def until_nothing_left(client: KubeClient, namespace: str, node: NodeProcess) -> None:
    """Return when nothing of a namespace's pods is left: object, process, what the node keeps for them.

    Raises NotInTime, and AssertionError where the node runs no more.
    """

    async def remaining() -> list[str]:
        assert node.is_running, f"the node has ended by itself: {node.own_log()}"
        listed = [str(key_of(pod)) for pod in (await client.list(PODS, namespace)).items]
        return listed or await asyncio.to_thread(_left_on, node, namespace)

    await until(remaining, f"nothing is left of the pods in {namespace}", holds=lambda left: not left)


def _left_on(node: NodeProcess, namespace: str) -> list[str]:
    """Return what a node has of a namespace's pods: its notes for pods not cleaned up yet, else their processes."""
    folders = list(node.state.glob(f"pods/{namespace}_*"))
    if noted := [folder.name for folder in folders if read_note(folder) is not None]:
        return noted
    marks = [f"{MARK}={folder.name.rpartition('_')[2]}/".encode() for folder in folders]
    environments = {pid: process_environment(pid) for pid in process_ids()} if marks else {}
    return [f"process {pid}" for pid, whole in environments.items() if any(mark in whole for mark in marks)]


async def run_pod(client: KubeClient, manifest: ReadOnlyJson, node: NodeProcess | None = None) -> WatchedPod:
    """Create a pod, bound to ``node`` or left to be scheduled."""
    bound = {"spec": {**manifest["spec"], "nodeName": node.name}} if node is not None else {}
    return WatchedPod(client, key_of(await client.create(PODS, {**manifest, **bound})))


def shell_pod(namespace: str, name: str, script: str = SERVE, **spec: Any) -> Json:
    """Return a pod whose container ``main`` runs a bash script.

    ``container`` adds to it, other names to the pod's spec.
    """
    container = {"name": "main", "image": IMAGE, "command": ["/bin/bash", "-c", script], **spec.pop("container", {})}
    meta = {"name": name, "namespace": namespace}
    whole = {"containers": [container], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": whole}


def pod_conditions(pod: ReadOnlyJson) -> dict[str, str]:
    """Return the status of each condition."""
    return {condition["type"]: condition["status"] for condition in conditions_of(pod)}


def first_status(pod: ReadOnlyJson) -> Json:
    """Return the status of a pod's first container. Raises IndexError before there is one."""
    return container_statuses(pod)[0]


def container_processes(pod: ReadOnlyJson, container: str = "main") -> list[int]:
    """Return the pids of a container's living processes."""
    return marked_processes(container_mark(uid_of(pod), container))


def kill_container(pod: ReadOnlyJson, container: str = "main") -> None:
    """Kill a container's processes; one of them may have ended meanwhile."""
    for pid in container_processes(pod, container):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """Whether a process has not ended; one that nobody has reaped yet has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}
