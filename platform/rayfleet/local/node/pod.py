"""One pod.

Slot and address, init containers in order, containers side by side, status written when it changes, orderly end.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rayfleet.kube.errors import ApiError, Conflict, NotFound
from rayfleet.local.node.configuring import Configurator
from rayfleet.local.node.container import Container, ContainerContext
from rayfleet.local.node.container_state import running_state
from rayfleet.local.node.folders import pod_folder
from rayfleet.local.node.loopback import PodNetwork, pod_network, ray_command
from rayfleet.local.node.pod_note import PodNote, ray_cluster_key, write_note
from rayfleet.local.node.pod_status import ContainerView, PodView, pod_status
from rayfleet.local.node.recalling import moment, status_entry
from rayfleet.local.node.surroundings import Surroundings
from rayfleet.model.events import EventType
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import PODS

log = logging.getLogger(__name__)

JsonObject = Mapping[str, Any]
DEFAULT_GRACE_SECONDS = 30
RETRY_SECONDS = 0.5
_NORMAL_EVENTS = frozenset({"Started", "Killing"})
# A pod whose object is gone is ended without the grace that nobody gave it.
VANISHED_GRACE = timedelta(seconds=1)


class PodWorker:
    """Owns the processes of one pod; ``network`` is known from the start, so that others can find it."""

    def __init__(self, pod: JsonObject, around: Surroundings) -> None:
        self._pod = pod
        self._around = around
        self._meta = pod["metadata"]
        self.key = ObjectKey(namespace=self._meta["namespace"], name=self._meta["name"])
        self.uid: str = self._meta["uid"]
        self._folder_name = pod_folder(self.key.namespace, self.key.name, self.uid)
        status = pod.get("status") or {}
        self._started_at = moment(status.get("startTime")) or datetime.now(UTC)
        slot = around.slots.take(self.uid)
        self.network: PodNetwork = pod_network(pod, slot.address, slot.first_port, self._ray_temp())
        self._changed = asyncio.Event()
        self._is_leaving = False
        self._is_gone = asyncio.Event()
        self._terminating = asyncio.Event()
        self._conditions: list[JsonObject] = list(status.get("conditions") or ())
        self._configurator = Configurator(pod, self.network, around, self._folder_name)
        spec = pod["spec"]
        self._is_going_on = any(
            running_state(self._folder(raw)) for raw in (*(spec.get("initContainers") or ()), *spec["containers"])
        )
        self._init = [self._container(raw, is_init=True) for raw in spec.get("initContainers") or ()]
        self._main = [self._container(raw, is_init=False) for raw in spec["containers"]]

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
        """End the pod now although nobody asked for it by name: its object is gone."""
        self._is_gone.set()
        self._terminating.set()

    async def run(self) -> None:
        """Run the pod until it was deleted and all of it is gone, or until cancelled (processes then live on)."""
        writer = asyncio.create_task(self._write_status())
        life = asyncio.create_task(self._live())
        try:
            await self._until_terminating(life)
            await self.end(self._grace())
            await asyncio.wait({life}, timeout=1)  # it notes how the containers ended
            await self._forget()
        finally:
            for task in (life, writer):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def end(self, grace: timedelta) -> None:
        """End every container within ``grace``, at once when the pod's object vanishes meanwhile; the object stays."""
        self._is_leaving = True
        self._changed.set()
        hurrying = asyncio.create_task(self._hurry())
        try:
            async with asyncio.TaskGroup() as group:
                for container in (*self._init, *self._main):
                    group.create_task(container.stop(grace))
        finally:
            hurrying.cancel()

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

    async def _until_terminating(self, life: "asyncio.Task[None]") -> None:
        """Wait for the deletion; a pod that has run to its end waits too. Raises what the pod's life raised."""
        waiting = asyncio.create_task(self._terminating.wait())
        try:
            await asyncio.wait({waiting, life}, return_when=asyncio.FIRST_COMPLETED)
            if life.done():
                life.result()
            await waiting
        finally:
            waiting.cancel()

    async def _hurry(self) -> None:
        await self._is_gone.wait()
        await asyncio.sleep(VANISHED_GRACE.total_seconds())
        for container in (*self._init, *self._main):
            await container.kill()

    async def _live(self) -> None:
        if self._terminating.is_set() and not self._is_going_on:
            return
        is_past_init = any(container.view.started_at for container in self._main)
        if is_past_init or all(container.is_over for container in self._main):
            for container in self._init:
                container.assume_done()
        for container in self._init:
            await container.run()
            if not _is_done(container.view):
                return
            container.assume_done()
        async with asyncio.TaskGroup() as group:
            for container in self._main:
                group.create_task(container.run())

    async def _write_status(self) -> None:
        """Write the status whenever it has changed.

        An API server that is away is tried again, the newest status wins.
        """
        written: JsonObject = {}
        self._changed.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            status = pod_status(self.view(), self._conditions, datetime.now(UTC))
            if status == written:
                continue
            patch = {"metadata": {"uid": self.uid}, "status": status}
            try:
                await self._around.client.patch(PODS, self.key, patch, subresource="status")
                self._conditions, written = status["conditions"], status
            except NotFound:
                return  # deleted: the agent ends this one
            except ApiError as error:
                facts = {"pod": str(self.key), "reason": error.message}
                log.warning("cannot write pod status; trying again", extra=facts)
                self._changed.set()
                await asyncio.sleep(RETRY_SECONDS)

    async def _forget(self) -> None:
        """Remove what the pod had on this machine, then the object: who sees it gone may take what it had."""
        await asyncio.to_thread(self._around.release, self._folder_name, self.uid)
        while True:
            try:
                await self._around.client.delete(PODS, self.key, uid=self.uid, grace_period_seconds=0)
            except (NotFound, Conflict):
                return
            except ApiError as error:
                log.warning("cannot delete pod; trying again", extra={"pod": str(self.key), "reason": error.message})
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    def _container(self, raw: JsonObject, *, is_init: bool) -> Container:
        policy = self._pod["spec"].get("restartPolicy", "Always")
        # Where nothing runs any more the pod begins anew, init containers included, as the kubelet does without its
        # sandbox.
        is_known = self._is_going_on or not is_init
        return Container(
            ContainerContext(
                raw=raw,
                status=status_entry(self._pod, raw["name"]) if is_known else {},
                folder=self._folder(raw),
                mark=self._configurator.mark(raw["name"]),
                restart_policy="OnFailure" if is_init and policy == "Always" else policy,
                grace=timedelta(seconds=self._pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS)),
                children=self._around.children,
                configure=lambda restart: self._configurator.configured(raw, restart),
                on_change=self._changed.set,
                tell=self._tell,
            )
        )

    def _tell(self, reason: str, message: str) -> None:
        kind = EventType.NORMAL if reason in _NORMAL_EVENTS else EventType.WARNING
        about = {"apiVersion": "v1", "kind": "Pod", "metadata": self._meta}
        self._around.events.record(about, reason=reason, message=message, type=kind)

    def _folder(self, raw: JsonObject) -> Any:
        return self._around.folders.container(self._folder_name, raw["name"])

    def _grace(self) -> timedelta:
        """Return what the deletion asked for (the object keeps it)."""
        if self._is_gone.is_set():
            return VANISHED_GRACE
        seconds = self._pod["metadata"].get("deletionGracePeriodSeconds")
        if seconds is None:
            seconds = self._pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS)
        return timedelta(seconds=seconds)

    def _ray_temp(self) -> str:
        """Return the temporary folder that all pods of a Ray cluster share; empty without Ray.

        The pod is noted for clean-up.
        """
        folders = self._around.folders
        key = ray_cluster_key(self._pod, str(folders.state)) if ray_command(self._pod) else ""
        write_note(folders.pods / self._folder_name, PodNote(ray_cluster=key, started_at=self._started_at))
        if not key:
            return ""
        folders.ray_temp(key).mkdir(parents=True, exist_ok=True, mode=0o700)
        return str(folders.ray_temp(key))


def _is_done(view: ContainerView) -> bool:
    return view.ended is not None and view.ended.exit_code == 0
