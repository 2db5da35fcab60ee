"""The node: registers itself, binds pods that fit, and gives each bound pod a worker."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import AlreadyExists, ApiError, Conflict, NotFound
from rayfleet.kube.reflector import Reflector
from rayfleet.local.node.cleanup import end_strangers, prune_pod_folders
from rayfleet.local.node.environments import ConfigLookup
from rayfleet.local.node.log_rotation import rotate_logs
from rayfleet.local.node.loopback import PodNetwork, behind_service
from rayfleet.local.node.pod import PodWorker
from rayfleet.local.node.registration import keep_registered
from rayfleet.local.node.scheduling import Unschedulable, planned_schedule
from rayfleet.local.node.settings import NodeSettings
from rayfleet.local.node.surroundings import Surroundings
from rayfleet.model.errors import EnvironmentProblem
from rayfleet.model.events import EventType
from rayfleet.model.meta import JsonObject, ObjectKey
from rayfleet.model.resources import CONFIG_MAPS, PODS, SECRETS, SERVICES

log = logging.getLogger(__name__)

END_LIMIT = timedelta(seconds=8)
AGAIN_SECONDS = 2.0
PRUNE_SECONDS = 60.0


class Agent:
    """Runs until cancelled. What ``make_surroundings`` returns is shared by all pods."""

    def __init__(self, client: KubeClient, settings: NodeSettings) -> None:
        self._client = client
        self._settings = settings
        self._pods = Reflector(client, PODS)
        self._services = Reflector(client, SERVICES)
        self._secrets = Reflector(client, SECRETS)
        self._config_maps = Reflector(client, CONFIG_MAPS)
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._problems: dict[str, str] = {}
        self._is_ending = False
        self._finished: set[str] = set()  # removed by us; the watch may not have shown it yet
        self._around: Surroundings | None = None

    async def run(self, around: Surroundings) -> None:
        """Watch and act until cancelled; workers are cancelled with it, their processes live on."""
        self._around = around
        reflectors = (self._pods, self._services, self._secrets, self._config_maps)
        self._pods.subscribe(lambda old, new: self._changed.set())  # noqa: ARG005 - level, not edge
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(keep_registered(self._client, self._settings))
                group.create_task(rotate_logs(self._settings.folders.pods))
                group.create_task(around.events.run())
                for reflector in reflectors:
                    group.create_task(reflector.run())
                for reflector in reflectors:
                    await reflector.synced()
                await asyncio.to_thread(end_strangers, self._settings.folders, self._bound_uids())
                group.create_task(self._prune_folders())
                self._changed.set()
                while True:
                    await self._changed.wait()
                    self._changed.clear()
                    if not self._is_ending:
                        self._start_workers()
                        await self._schedule()
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def end_all(self) -> None:
        """End every container within a limit.

        The pods' objects stay and say so no more than a machine that is switched off.
        """
        self._is_ending = True
        async with asyncio.TaskGroup() as group:
            for worker in self._workers.values():
                group.create_task(worker.end(END_LIMIT))

    def resolve(self, namespace: str, name: str) -> PodNetwork | None:
        """Return the network of a pod behind a Service (the first by name, those that are going last).

        None without one.
        """
        service = self._services.store.get(ObjectKey(namespace=namespace, name=name))
        selector: Mapping[str, str] = (service or {}).get("spec", {}).get("selector") or {}
        if not selector:
            return None
        found = [
            worker
            for worker in self._workers.values()
            if worker.key.namespace == namespace
            and selector.items() <= (worker.pod["metadata"].get("labels") or {}).items()
        ]
        found.sort(key=lambda worker: ("deletionTimestamp" in worker.pod["metadata"], worker.key.name))
        return behind_service(found[0].network, found[0].pod, service or {}) if found else None

    def lookup_in(self, namespace: str) -> ConfigLookup:
        """Return how a pod of a namespace reads its Secrets and ConfigMaps."""
        return ConfigLookup(
            lambda name: self._secrets.store.get(ObjectKey(namespace=namespace, name=name)),
            lambda name: self._config_maps.store.get(ObjectKey(namespace=namespace, name=name)),
        )

    def _bound(self) -> list[JsonObject]:
        return [dict(pod) for pod in self._pods.store.list() if pod["spec"].get("nodeName") == self._settings.name]

    def _bound_uids(self) -> frozenset[str]:
        return frozenset(pod["metadata"]["uid"] for pod in self._bound())

    async def _prune_folders(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_SECONDS)
            await asyncio.to_thread(
                prune_pod_folders, self._settings.folders, self._bound_uids() | self._workers.keys()
            )

    def _start_workers(self) -> None:
        for pod in self._bound():
            uid = pod["metadata"]["uid"]
            if uid in self._workers:
                self._workers[uid].update(pod)
            elif not _is_over(pod) and uid not in self._finished:
                self._start(uid, pod)
        self._finished &= self._bound_uids()
        for uid in self._workers.keys() - self._bound_uids():
            self._workers[uid].vanish()  # deleted by force, or the store was put back

    def _start(self, uid: str, pod: JsonObject) -> None:
        assert self._around is not None
        try:
            worker = PodWorker(pod, self._around)
        except EnvironmentProblem as error:
            log.error("cannot run a pod; trying again", extra={"pod": pod["metadata"]["name"], "reason": str(error)})
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._changed.set)
            return
        worker.update(pod)
        self._workers[uid] = worker
        task = asyncio.create_task(worker.run())
        task.add_done_callback(lambda done: self._worker_ended(uid, done))
        self._tasks[uid] = task

    def _worker_ended(self, uid: str, task: "asyncio.Task[None]") -> None:
        self._workers.pop(uid, None)
        self._tasks.pop(uid, None)
        if task.cancelled():
            return
        if task.exception() is not None:
            log.error("a pod's worker failed; starting it again", exc_info=task.exception())
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._changed.set)
        else:
            self._finished.add(uid)
            self._changed.set()

    async def _schedule(self) -> None:
        schedule = planned_schedule(self._pods.store.list(), self._settings.accelerators)
        for pod in schedule.bound:
            await self._bind(pod)
        for waiting in schedule.waiting:
            await self._tell_unschedulable(waiting)

    async def _bind(self, pod: Mapping[str, Any]) -> None:
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
            log.warning("cannot bind a pod; trying again", extra={"pod": meta["name"], "reason": error.message})
            asyncio.get_running_loop().call_later(0.5, self._changed.set)

    async def _tell_unschedulable(self, waiting: Unschedulable) -> None:
        meta = waiting.pod["metadata"]
        if self._problems.get(meta["uid"]) == waiting.message:
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": waiting.message,
            "lastTransitionTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        key = ObjectKey(namespace=meta["namespace"], name=meta["name"])
        status = {"status": {"phase": "Pending", "conditions": [condition]}}
        about = {"apiVersion": "v1", "kind": "Pod", "metadata": meta}
        if self._around is not None:
            self._around.events.record(
                about, reason="FailedScheduling", message=waiting.message, type=EventType.WARNING
            )
        with contextlib.suppress(ApiError):
            await self._client.patch(PODS, key, status, subresource="status")
            self._problems[meta["uid"]] = waiting.message


def own_process_variables() -> Mapping[str, str]:
    """Return the node's environment."""
    return dict(os.environ)


def _is_over(pod: JsonObject) -> bool:
    """Whether a pod has run to its end and is not being deleted: nothing is to be started for it."""
    phase: Any = pod.get("status", {}).get("phase")
    return phase in {"Succeeded", "Failed"} and "deletionTimestamp" not in pod["metadata"]
