"""The supervisor: one process per cluster that starts, watches and stops the others.

Order of starting: API server (CRDs applied), node, controllers, gateway. Order of stopping: gateway (no new requests),
controllers (nobody makes new pods), pods through the API server (drained by the node, each within its grace period),
node, API server. The record on disk is written at every change, so a killed supervisor's successor finds everything.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import ApiError, NotFound
from rayfleet.local.folders import ClusterFolders
from rayfleet.local.node.cleanup import cleanup
from rayfleet.local.proc import identity_of
from rayfleet.local.supervisor.bootstrap import bootstrap, wait_for_api_server
from rayfleet.local.supervisor.child import Child
from rayfleet.local.supervisor.commands import child_specs
from rayfleet.local.supervisor.record import Record, write_record
from rayfleet.local.supervisor.settings import SupervisorSettings
from rayfleet.local.supervisor.takeover import end_leftovers
from rayfleet.model.errors import EnvironmentProblem
from rayfleet.model.resources import PODS
from rayfleet.objects.meta import is_terminating, key_of
from rayfleet.process import stop_event

log = logging.getLogger(__name__)

POD_END_LIMIT = timedelta(seconds=25)
# The gateway has finished its requests by then: nothing is left to drain.
POD_GRACE_SECONDS = 1


class Supervisor:
    """Owns the children of one embedded cluster."""

    def __init__(self, settings: SupervisorSettings) -> None:
        self._settings = settings
        self._folders = ClusterFolders(root=settings.root)
        specs = child_specs(settings, self._folders)
        self._api_server = Child(specs.api_server, self._write)
        self._node = Child(specs.node, self._write)
        self._controllers = Child(specs.controllers, self._write)
        self._gateway = Child(specs.gateway, self._write)
        self._children = (self._api_server, self._node, self._controllers, self._gateway)

    async def run(self, stop: asyncio.Event) -> None:
        """Run the cluster until ``stop`` is set, then end everything in order; leaves nothing running."""
        await end_leftovers(self._folders.record)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._api_server.run())]
            try:
                client = await wait_for_api_server(
                    self._folders.kubeconfig, self._api_server.spec.log_path, lambda: self._api_server.restarts
                )
            except EnvironmentProblem:
                await self._api_server.stop()
                raise
            try:
                await bootstrap(client)
                tasks += [group.create_task(child.run()) for child in self._children[1:]]
                await stop.wait()
            finally:
                await self._shut_down(client)
                for task in tasks:
                    task.cancel()

    async def _shut_down(self, client: KubeClient) -> None:
        await self._gateway.stop()
        await self._controllers.stop()
        try:
            async with asyncio.timeout(POD_END_LIMIT.total_seconds()):
                await _end_pods(client)
        except (TimeoutError, ApiError) as error:
            log.warning("pods did not end in order; the node's clean-up ends them", extra={"reason": str(error)})
        await client.__aexit__(None, None, None)
        await self._node.stop()
        await self._api_server.stop()
        await asyncio.to_thread(cleanup, self._settings.root)
        self._folders.record.unlink(missing_ok=True)

    def _write(self) -> None:
        record = Record(
            supervisor=identity_of(os.getpid()),
            api_port=self._settings.api_port,
            gateway_host=self._settings.gateway_host,
            gateway_port=self._settings.gateway_port,
            gateway_admin_port=self._settings.gateway_admin_port,
            processes={child.spec.name: child.record for child in self._children},
        )
        write_record(self._folders.record, record)


async def supervise(settings: SupervisorSettings) -> None:
    """Run the cluster of ``settings`` until SIGTERM, SIGINT or the end of the followed process.

    Raises EnvironmentProblem when another supervisor has the cluster, or when the API server does not come up.
    """
    stop = stop_event()
    with _only_one(ClusterFolders(root=settings.root).lock, settings.name):
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(_follow(settings.follow_pid, stop))
            try:
                await Supervisor(settings).run(stop)
            finally:
                watcher.cancel()


async def _follow(pid: int, stop: asyncio.Event) -> None:
    """Set ``stop`` when the process that asked for this cluster is gone (its own Ctrl-C handling may never run)."""
    while pid and os.getppid() == pid:
        await asyncio.sleep(0.5)
    if pid:
        log.warning("the command that started this cluster is gone; shutting down", extra={"pid": pid})
        stop.set()


async def _end_pods(client: KubeClient) -> None:
    while pods := (await client.list(PODS)).items:
        for pod in pods:
            if is_terminating(pod):
                continue
            with contextlib.suppress(NotFound):
                await client.delete(PODS, key_of(pod), grace_period_seconds=POD_GRACE_SECONDS)
        await asyncio.sleep(0.1)


@contextlib.contextmanager
def _only_one(path: Path, name: str) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EnvironmentProblem(
                f"cluster {name!r} is running already",
                way_out="Look at it with `rayfleet status`, end it with `rayfleet down`, or start another with --name.",
            ) from None
        yield
