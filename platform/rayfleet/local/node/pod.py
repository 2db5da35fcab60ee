"""One pod: slot and address, the loop that lets its containers live as ``pod_lifecycle`` says, and its removal."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import assert_never

from rayfleet.kube.errors import ApiError, Conflict, NotFound
from rayfleet.local.node.configuring import Configurator
from rayfleet.local.node.container import Container, ContainerContext
from rayfleet.local.node.container_state import running_state
from rayfleet.local.node.folders import pod_folder
from rayfleet.local.node.lifecycle import EndAsked
from rayfleet.local.node.loopback import PodNetwork, pod_network, ray_command
from rayfleet.local.node.notices import Notice
from rayfleet.local.node.pod_lifecycle import (
    Leave,
    Live,
    Remove,
    container_policy,
    deletion_grace,
    end_of_vanished,
    end_within,
    next_pod_step,
)
from rayfleet.local.node.pod_note import PodNote, ray_cluster_key, write_note
from rayfleet.local.node.recalling import recalled_pod
from rayfleet.local.node.services import NodeServices
from rayfleet.local.node.status_writer import RETRY_SECONDS, StatusWriter
from rayfleet.local.node.views import ContainerView, Fate, PodView, container_mark
from rayfleet.model.events import EventType
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import PODS
from rayfleet.objects.meta import is_terminating, key_of, uid_of

log = logging.getLogger(__name__)

# How long the last status of a pod that stays may take to be written when the node ends.
LAST_STATUS_LIMIT = timedelta(seconds=1)


class PodWorker:
    """Owns the processes of one pod; ``network`` is known from the start, so that others can find it."""

    def __init__(self, pod: ReadOnlyJson, services: NodeServices) -> None:
        self._pod = pod
        self._services = services
        self.key = key_of(pod)
        self.uid = uid_of(pod)
        self._folder_name = pod_folder(self.key.namespace, self.key.name, self.uid)
        slot = services.slots.take(self.uid)
        running = {
            raw["name"]: state for raw, _ in _containers(pod) if (state := running_state(self._folder(raw))) is not None
        }
        self._first_view = recalled_pod(pod, running, slot.address, datetime.now(UTC))
        self.network: PodNetwork = pod_network(pod, slot.address, slot.first_port, self._ray_temp())
        self._fate = Fate.LIVES
        self._moved = asyncio.Event()
        self._status = StatusWriter(services.client, pod, self.view)
        self._configurator = Configurator(pod, self.network, services, self._folder_name)
        self._containers = {
            view.name: Container(self._context(raw, is_init=is_init), view, running.get(view.name))
            for (raw, is_init), view in zip(_containers(pod), self._first_view.everything, strict=True)
        }

    @property
    def pod(self) -> ReadOnlyJson:
        """The pod as last seen."""
        return self._pod

    def view(self) -> PodView:
        """Return what is known now."""
        return replace(
            self._first_view,
            init_containers=self._views_of(self._first_view.init_containers),
            containers=self._views_of(self._first_view.containers),
            fate=self._fate,
        )

    def update(self, pod: ReadOnlyJson) -> None:
        """Take the newest object: a deletion begins the end, or hastens it."""
        self._pod = pod
        if is_terminating(pod):
            now = datetime.now(UTC)
            self._end(Fate.DELETED, end_within(deletion_grace(pod), now), now)

    def vanish(self) -> None:
        """End the pod now although nobody asked for it by name: its object is gone."""
        now = datetime.now(UTC)
        self._end(Fate.DELETED, end_of_vanished(now), now)

    def leave(self, grace: timedelta) -> None:
        """End every container within ``grace``; the object stays, unless it is being deleted."""
        now = datetime.now(UTC)
        self._end(Fate.LEAVES, end_within(grace, now), now)

    async def run(self) -> None:
        """Run the pod to its end and remove it, or leave its object; cancelled, its processes live on."""
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(self._status.run())
            begun: set[str] = set()
            while isinstance(step := next_pod_step(self.view()), Live):
                for name in step.containers:
                    if name not in begun:
                        begun.add(name)
                        group.create_task(self._containers[name].run())
                await self._moved.wait()
                self._moved.clear()
            match step:
                case Remove():
                    await self._remove()
                case Leave():
                    await self._status.settled(LAST_STATUS_LIMIT)
                case _:
                    assert_never(step)
            writing.cancel()

    def _end(self, fate: Fate, asked: EndAsked, now: datetime) -> None:
        if self._fate is not Fate.DELETED:
            self._fate = fate
        for container in self._containers.values():
            container.take(asked, now)
        self._on_change()

    def _on_change(self) -> None:
        self._moved.set()
        self._status.changed()

    async def _remove(self) -> None:
        """Remove what the pod had on this machine, then the object: who sees it gone may take what it had."""
        await asyncio.to_thread(self._services.release, self._folder_name, self.uid)
        while True:
            try:
                await self._services.client.delete(PODS, self.key, uid=self.uid, grace_period_seconds=0)
            except (NotFound, Conflict):
                return
            except ApiError as error:
                log.warning("cannot delete pod; trying again", extra={"pod": str(self.key), "reason": error.message})
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    def _context(self, raw: ReadOnlyJson, *, is_init: bool) -> ContainerContext:
        return ContainerContext(
            raw=raw,
            policy=container_policy(self._pod, raw, is_init=is_init),
            folder=self._folder(raw),
            mark=container_mark(self.uid, raw["name"]),
            children=self._services.children,
            configure=lambda run: self._configurator.configured(raw, run),
            on_change=self._on_change,
            notify=self._notify,
        )

    def _notify(self, notice: Notice) -> None:
        about = {"apiVersion": "v1", "kind": "Pod", "metadata": self._pod["metadata"]}
        kind = EventType.NORMAL if notice.is_normal else EventType.WARNING
        self._services.events.record(about, reason=notice.reason, message=notice.message, type=kind)

    def _views_of(self, containers: tuple[ContainerView, ...]) -> tuple[ContainerView, ...]:
        return tuple(self._containers[container.name].view for container in containers)

    def _folder(self, raw: ReadOnlyJson) -> Path:
        return self._services.folders.container(self._folder_name, raw["name"])

    def _ray_temp(self) -> str:
        """Return the temporary folder that all pods of a Ray cluster share; empty without Ray.

        The pod is noted for clean-up.
        """
        folders = self._services.folders
        key = ray_cluster_key(self._pod, str(folders.state)) if ray_command(self._pod) else ""
        write_note(folders.pods / self._folder_name, PodNote(ray_cluster=key, started_at=self._first_view.started_at))
        if not key:
            return ""
        folders.ray_temp(key).mkdir(parents=True, exist_ok=True, mode=0o700)
        return str(folders.ray_temp(key))


def _containers(pod: ReadOnlyJson) -> Iterator[tuple[ReadOnlyJson, bool]]:
    """Yield the containers in the order in which they begin, and whether each is an init container."""
    for raw in pod["spec"].get("initContainers") or ():
        yield raw, True
    for raw in pod["spec"]["containers"]:
        yield raw, False
