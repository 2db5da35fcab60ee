"""One pod: slot and address, init containers in order, containers side by side, status written when it changes, orderly end."""

import asyncio
import contextlib
import hashlib
import logging
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rayfleet.kube.errors import ApiError, Conflict, NotFound
from rayfleet.local.node.configuring import Configurator
from rayfleet.local.node.container import Container, ContainerContext
from rayfleet.local.node.folders import NodeFolders, pod_folder
from rayfleet.local.node.loopback import PodNetwork, pod_network, ray_command
from rayfleet.local.node.pod_status import ContainerView, PodView, pod_status
from rayfleet.local.node.shared_memory import remove_orphaned_segments
from rayfleet.local.node.surroundings import Surroundings
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import PODS

log = logging.getLogger(__name__)

JsonObject = Mapping[str, Any]
DEFAULT_GRACE_SECONDS = 30
RETRY_SECONDS = 0.5


class PodWorker:
    """Owns the processes of one pod; ``network`` is known from the start, so that others can find it."""

    def __init__(self, pod: JsonObject, around: Surroundings) -> None:
        self._pod = pod
        self._around = around
        self._meta = pod["metadata"]
        self.key = ObjectKey(namespace=self._meta["namespace"], name=self._meta["name"])
        self.uid: str = self._meta["uid"]
        self._folder_name = pod_folder(self.key.namespace, self.key.name, self.uid)
        slot = around.slots.take(self.uid)
        self.network: PodNetwork = pod_network(pod, slot.address, slot.first_port, self._ray_temp())
        self._started_at = datetime.now(UTC)
        self._changed = asyncio.Event()
        self._is_leaving = False
        self._terminating = asyncio.Event()
        self._conditions: list[JsonObject] = list(pod.get("status", {}).get("conditions") or ())
        self._configurator = Configurator(pod, self.network, around, self._folder_name)
        self._init = [self._container(raw) for raw in pod["spec"].get("initContainers") or ()]
        self._main = [self._container(raw) for raw in pod["spec"]["containers"]]

    @property
    def pod(self) -> JsonObject:
        """The pod as last seen."""
        return self._pod

    def update(self, pod: JsonObject) -> None:
        """Take the newest object: a deletion begins the end."""
        self._pod = pod
        if "deletionTimestamp" in pod["metadata"]:
            self._terminating.set()
            self._changed.set()

    def vanish(self) -> None:
        """End the pod although nobody asked for it by name: its object is gone."""
        self._terminating.set()

    async def run(self) -> None:
        """Run the pod until it was deleted and everything of it is gone, or until cancelled (processes then live on)."""
        writer = asyncio.create_task(self._write_status())
        life = asyncio.create_task(self._live())
        try:
            await self._terminating.wait()
            await self.end(self._grace())
            await self._forget()
        finally:
            for task in (life, writer):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def end(self, grace: timedelta) -> None:
        """End every container within ``grace``; the pod's object stays."""
        self._is_leaving = True
        self._changed.set()
        async with asyncio.TaskGroup() as group:
            for container in (*self._init, *self._main):
                group.create_task(container.stop(grace))

    def view(self) -> PodView:
        """Return what is known now."""
        return PodView(
            address=self.network.address,
            started_at=self._started_at,
            init_containers=tuple(container.view for container in self._init),
            containers=tuple(container.view for container in self._main),
            restart_policy=self._pod["spec"].get("restartPolicy", "Always"),
            is_terminating=self._is_leaving or "deletionTimestamp" in self._pod["metadata"],
        )

    async def _live(self) -> None:
        if not self._had_started():
            for container in self._init:
                await container.run()
                if not _is_done(container.view):
                    return
        else:
            for container in self._init:
                container.assume_done()
        async with asyncio.TaskGroup() as group:
            for container in self._main:
                group.create_task(container.run())

    def _had_started(self) -> bool:
        """Whether an earlier node has run this pod past its init containers, and left something of it running."""
        return any(container.is_adopted for container in self._main)

    async def _write_status(self) -> None:
        """Write the status whenever it has changed; an API server that is away is tried again, the newest status wins."""
        self._changed.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            status = pod_status(self.view(), self._conditions, datetime.now(UTC))
            try:
                await self._around.client.patch(
                    PODS, self.key, {"metadata": {"uid": self.uid}, "status": status}, subresource="status"
                )
                self._conditions = status["conditions"]
            except (NotFound, Conflict):
                return  # deleted, or another pod has the name: the agent ends this one
            except ApiError as error:
                log.warning(
                    "cannot write pod status; trying again", extra={"pod": str(self.key), "reason": error.message}
                )
                self._changed.set()
                await asyncio.sleep(RETRY_SECONDS)

    async def _forget(self) -> None:
        """Remove the object and what the pod had on this machine."""
        while True:
            try:
                await self._around.client.delete(PODS, self.key, uid=self.uid, grace_period_seconds=0)
            except (NotFound, Conflict):
                break
            except ApiError as error:
                log.warning("cannot delete pod; trying again", extra={"pod": str(self.key), "reason": error.message})
                await asyncio.sleep(RETRY_SECONDS)
            else:
                break
        await asyncio.to_thread(self.release)

    def release(self) -> None:
        """Give back the slot, and the Ray cluster's temporary folder when this was its last pod here. Blocking."""
        self._around.slots.give_back(self.uid)
        if self.network.temp_dir and not self._around.is_temp_dir_used(self.network.temp_dir, self.uid):
            shutil.rmtree(self.network.temp_dir, ignore_errors=True)
        (self._around.folders.pods / self._folder_name / "ray-temp").unlink(missing_ok=True)
        remove_orphaned_segments()

    def _container(self, raw: JsonObject) -> Container:
        policy = self._pod["spec"].get("restartPolicy", "Always")
        is_init = raw in (self._pod["spec"].get("initContainers") or ())
        return Container(
            ContainerContext(
                raw=raw,
                folder=self._around.folders.container(self._folder_name, raw["name"]),
                mark=self._configurator.mark(raw["name"]),
                restart_policy="OnFailure" if is_init and policy == "Always" else policy,
                configure=lambda restart: self._configurator.configured(raw, restart),
                on_change=self._changed.set,
            )
        )

    def _grace(self) -> timedelta:
        """Return what the deletion asked for (the object keeps it); a pod whose object is gone gets a moment."""
        if "deletionTimestamp" not in self._pod["metadata"]:
            return timedelta(seconds=1)
        seconds = self._pod["metadata"].get("deletionGracePeriodSeconds")
        if seconds is None:
            seconds = self._pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS)
        return timedelta(seconds=seconds)

    def _ray_temp(self) -> str:
        """Return the temporary folder that all pods of a Ray cluster share, and note it for clean-up; empty without Ray."""
        if not ray_command(self._pod):
            return ""
        owner = next(
            (each["uid"] for each in self._meta.get("ownerReferences") or () if each.get("controller")), self.uid
        )
        key = hashlib.sha256(f"{self._around.folders.state}:{owner}".encode()).hexdigest()[:8]
        note = self._around.folders.pods / self._folder_name
        note.mkdir(parents=True, exist_ok=True)
        (note / "ray-temp").write_text(key, encoding="utf-8")
        folder: NodeFolders = self._around.folders
        folder.ray_temp(key).mkdir(parents=True, exist_ok=True, mode=0o700)
        return str(folder.ray_temp(key))


def _is_done(view: ContainerView) -> bool:
    return view.ended is not None and view.ended.exit_code == 0
