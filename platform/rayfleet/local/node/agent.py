"""The node: registers itself, binds pods that fit, and gives each bound pod a worker."""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import AlreadyExists, ApiError, Conflict, NotFound
from rayfleet.kube.events import EventRecorder
from rayfleet.kube.watches import Changes, Reflectors
from rayfleet.local.node.cleanup import end_strangers, prune_pod_folders
from rayfleet.local.node.log_notes import note_log_growth
from rayfleet.local.node.log_rotation import rotate_logs
from rayfleet.local.node.pod import PodWorker
from rayfleet.local.node.registration import keep_registered
from rayfleet.local.node.roster import Standing, roster_changes
from rayfleet.local.node.scheduling import Unschedulable, planned_schedule
from rayfleet.local.node.services import NodeServices
from rayfleet.local.node.settings import NodeSettings
from rayfleet.model.errors import EnvironmentProblem
from rayfleet.model.events import EventType
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import NODES, PODS
from rayfleet.objects.meta import key_of, name_of, uid_of
from rayfleet.objects.pods import node_name
from rayfleet.objects.times import encode_time

log = logging.getLogger(__name__)

END_LIMIT = timedelta(seconds=8)
AGAIN_SECONDS = 2.0
BIND_AGAIN_SECONDS = 0.5
PRUNE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Unfit:
    """``message`` is what the pod's status says."""

    message: str
    standing: ClassVar = Standing.UNFIT


@dataclass(frozen=True, slots=True)
class _Served:
    worker: PodWorker
    task: "asyncio.Task[None]"
    standing: ClassVar = Standing.SERVED


@dataclass(frozen=True, slots=True)
class _Finished:
    standing: ClassVar = Standing.FINISHED


class Agent:
    """Runs until cancelled. ``workers`` are those of the pods that run here."""

    def __init__(self, client: KubeClient, settings: NodeSettings, reflectors: Reflectors) -> None:
        self._client = client
        self._settings = settings
        self._reflectors = reflectors
        self._changes = Changes(reflectors, (PODS, NODES))
        self._pods: dict[str, _Unfit | _Served | _Finished] = {}
        self._is_ending = False

    async def run(self, services: NodeServices) -> None:
        """Watch and act until cancelled; workers are cancelled with it, their processes live on."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(keep_registered(self._client, self._settings))
                group.create_task(rotate_logs(self._settings.folders.pods))
                group.create_task(note_log_growth(self._settings.folders.pods))
                group.create_task(services.events.run())
                group.create_task(self._reflectors.run())
                await self._reflectors.synced()
                await asyncio.to_thread(end_strangers, self._settings.folders, self._bound_uids())
                group.create_task(self._prune_folders())
                async for _ in self._changes:
                    if not self._is_ending:
                        self._follow(services)
                        await self._schedule(services)
        finally:
            tasks = [entry.task for entry in self._served().values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def end_all(self) -> None:
        """End every container within a limit.

        The pods' objects stay and say so no more than a machine that is switched off.
        """
        self._is_ending = True
        served = self._served()
        for entry in served.values():
            entry.worker.leave(END_LIMIT)
        if served:
            await asyncio.wait([entry.task for entry in served.values()])

    def workers(self) -> list[PodWorker]:
        """Return the workers of the pods that run here."""
        return [entry.worker for entry in self._served().values()]

    def _served(self) -> dict[str, _Served]:
        return {uid: entry for uid, entry in self._pods.items() if isinstance(entry, _Served)}

    def _bound_uids(self) -> frozenset[str]:
        return frozenset(
            uid_of(pod) for pod in self._reflectors.store(PODS).list() if node_name(pod) == self._settings.name
        )

    async def _prune_folders(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_SECONDS)
            living = self._bound_uids() | self._served().keys()
            await asyncio.to_thread(prune_pod_folders, self._settings.folders, living)

    def _follow(self, services: NodeServices) -> None:
        """Do what the pods of the API server ask of this node."""
        standings = {uid: entry.standing for uid, entry in self._pods.items()}
        changes = roster_changes(standings, self._reflectors.store(PODS).list(), self._settings.name)
        served = self._served()
        for pod in changes.updated:
            served[uid_of(pod)].worker.update(pod)
        for uid in changes.vanished:
            served[uid].worker.vanish()
        for uid in changes.forgotten:
            del self._pods[uid]
        for pod in changes.begun:
            self._begin(pod, services)

    def _begin(self, pod: ReadOnlyJson, services: NodeServices) -> None:
        try:
            worker = PodWorker(pod, services)
        except EnvironmentProblem as error:
            log.error("cannot run a pod; trying again", extra={"pod": name_of(pod), "reason": str(error)})
            self._look_again(AGAIN_SECONDS)
            return
        worker.update(pod)
        task = asyncio.create_task(worker.run())
        self._pods[worker.uid] = _Served(worker, task)
        task.add_done_callback(lambda done: self._worker_ended(worker.uid, done))

    def _worker_ended(self, uid: str, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or task.exception() is not None:
            del self._pods[uid]
        else:
            self._pods[uid] = _Finished()
            self._changes.poke()
        if not task.cancelled() and task.exception() is not None:
            log.error("a pod's worker failed; starting it again", exc_info=task.exception())
            self._look_again(AGAIN_SECONDS)

    def _look_again(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._changes.poke)

    async def _schedule(self, services: NodeServices) -> None:
        node = self._reflectors.store(NODES).get(ObjectKey(namespace="", name=self._settings.name))
        if node is None:
            return  # not registered yet: nobody knows yet whom it lets in
        schedule = planned_schedule(self._reflectors.store(PODS).list(), self._settings.accelerators, node)
        for pod in schedule.bound:
            await self._bind(pod)
        for unfit in schedule.waiting:
            await self._refuse(unfit, services.events)

    async def _bind(self, pod: ReadOnlyJson) -> None:
        meta = pod["metadata"]
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": self._settings.name},
        }
        try:
            await self._client.create(PODS, binding, subresource="binding")
        except (NotFound, Conflict, AlreadyExists):
            return  # gone, or bound already: the watch shows
        except ApiError as error:
            log.warning("cannot bind a pod; trying again", extra={"pod": name_of(pod), "reason": error.message})
            self._look_again(BIND_AGAIN_SECONDS)

    async def _refuse(self, unfit: Unschedulable, events: EventRecorder) -> None:
        """Say in the pod's status why it waits, once for each message."""
        uid, entry = uid_of(unfit.pod), _Unfit(unfit.message)
        if self._pods.get(uid) == entry:
            return
        about = {"apiVersion": "v1", "kind": "Pod", "metadata": unfit.pod["metadata"]}
        events.record(about, reason="FailedScheduling", message=unfit.message, type=EventType.WARNING)
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": unfit.message,
            "lastTransitionTime": encode_time(datetime.now(UTC)),
        }
        status = {"status": {"phase": "Pending", "conditions": [condition]}}
        with contextlib.suppress(ApiError):
            await self._client.patch(PODS, key_of(unfit.pod), status, subresource="status")
            self._pods[uid] = entry
