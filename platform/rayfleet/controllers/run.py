"""The controller process: connect, check, lead, run.

``run`` is ``rayfleet controller``; ``run_controllers`` is for a process that runs others beside them (``rayfleet up``).
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rayfleet.controllers.caches import WATCHED, Caches
from rayfleet.controllers.fleet import fleet_steps, fleet_watches
from rayfleet.controllers.replica_set import replica_set_steps, replica_set_watches
from rayfleet.kube.client import KubeClient
from rayfleet.kube.config import connect
from rayfleet.kube.errors import NotFound, Unreachable
from rayfleet.kube.events import EventRecorder
from rayfleet.kube.lease import LeaderElector, LeaseSettings
from rayfleet.model.errors import EnvironmentProblem
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import FLEETS, HTTP_ROUTES, RAY_CLUSTERS, REPLICA_SETS, ResourceType
from rayfleet.plugin import registry
from rayfleet.plugin.contracts import Engine
from rayfleet.reconciling.executor import Executor
from rayfleet.reconciling.own_writes import OwnWrites
from rayfleet.reconciling.passes import Passes
from rayfleet.reconciling.runtime import Controller, RuntimeSettings

log = logging.getLogger(__name__)

COMPONENT = "rayfleet-controller"
_POLL_SECONDS = 0.5
_WAYS_OUT: Mapping[ResourceType, str] = {
    FLEETS: "Install rayfleet's CRDs: rayfleet install | kubectl apply --server-side -f -",
    REPLICA_SETS: "Install rayfleet's CRDs: rayfleet install | kubectl apply --server-side -f -",
    RAY_CLUSTERS: "Install KubeRay 1.3 or newer (its Helm chart kuberay-operator brings the CRD).",
    HTTP_ROUTES: "Install the Gateway API's CRDs (standard channel), https://gateway-api.sigs.k8s.io.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerSettings:
    """How the controller process runs; the command line fills it.

    ``kubeconfig`` None: the pod's service account. ``namespace`` None: all. ``lease`` None: no leader election (one
    process only). ``disabled_plugins`` are entry point names.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None
    lease: LeaseSettings | None = None
    disabled_plugins: tuple[str, ...] = ()
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    start_limit: timedelta = timedelta(seconds=15)


def lease_settings(namespace: str, identity: str) -> LeaseSettings:
    """Return the lease that all controller processes of a cluster compete for. Pure."""
    return LeaseSettings(key=ObjectKey(namespace=namespace, name=COMPONENT), identity=identity)


async def run(settings: ControllerSettings) -> None:
    """Run the controllers with the installed engines until SIGTERM or SIGINT.

    Raises PluginError, SettingsError, EnvironmentProblem, LeadershipLost, ApiError.
    """
    engines = registry.load(disabled=settings.disabled_plugins).engines
    async with await connect(settings.kubeconfig, settings.context) as client:
        with _stopped_by_signals(asyncio.current_task()) as is_asked_to_stop:
            try:
                await run_controllers(client, settings, engines)
            except asyncio.CancelledError:
                if not is_asked_to_stop():
                    raise
                log.info("stopped by a signal")


async def run_controllers(client: KubeClient, settings: ControllerSettings, engines: Mapping[str, Engine]) -> None:
    """Run the controllers until cancelled. Raises EnvironmentProblem, LeadershipLost."""
    await check_kinds(client, limit=settings.start_limit)
    if settings.lease is None:
        await _work(client, settings, engines, may_act=lambda: True)
        return
    elector = LeaderElector(client, settings.lease)
    await elector.lead(lambda: _work(client, settings, engines, elector.may_act))


async def check_kinds(client: KubeClient, *, limit: timedelta) -> None:
    """Check that the server has all kinds; a CRD just applied, or a server just starting, gets ``limit`` to appear.

    Raises EnvironmentProblem saying what to install, Unreachable.
    """
    deadline = asyncio.get_running_loop().time() + limit.total_seconds()
    for resource in WATCHED:
        while True:
            is_late = asyncio.get_running_loop().time() >= deadline
            try:
                await client.raw("GET", f"{resource.base_path}/{resource.plural}", query={"limit": "1"})
                break
            except NotFound as error:
                if is_late:
                    message = f"{client.address.url} does not know {resource.plural} of {resource.api_version}"
                    raise EnvironmentProblem(message, way_out=_WAYS_OUT.get(resource, "")) from error
            except Unreachable:
                if is_late:
                    raise
            await asyncio.sleep(_POLL_SECONDS)


async def _work(
    client: KubeClient,
    settings: ControllerSettings,
    engines: Mapping[str, Engine],
    may_act: Callable[[], bool],
) -> None:
    caches = Caches(client, settings.namespace)
    recorder = EventRecorder(client, COMPONENT)
    async with asyncio.TaskGroup() as tasks:
        for controller in controllers(caches, client, recorder, engines, may_act, settings.runtime):
            tasks.create_task(controller.run(), name=controller.name)
        tasks.create_task(recorder.run(), name="events")
        tasks.create_task(caches.run(), name="caches")


def controllers(
    caches: Caches,
    client: KubeClient,
    recorder: EventRecorder,
    engines: Mapping[str, Engine],
    may_act: Callable[[], bool],
    settings: RuntimeSettings,
) -> tuple[Controller, ...]:
    """Return all controllers, subscribed to the caches and not yet running."""

    def executor() -> Executor:
        return Executor(client, OwnWrites(caches.reflectors), may_act)

    def now() -> datetime:
        return datetime.now(UTC)

    return (
        Controller(
            "fleet",
            caches.reflectors[FLEETS],
            Passes(fleet_steps(caches, engines), executor(), recorder, now),
            fleet_watches(caches),
            settings,
        ),
        Controller(
            "replica-set",
            caches.reflectors[REPLICA_SETS],
            Passes(replica_set_steps(caches), executor(), recorder, now),
            replica_set_watches(caches),
            settings,
        ),
    )


@contextlib.contextmanager
def _stopped_by_signals(task: "asyncio.Task[None] | None") -> Iterator[Callable[[], bool]]:
    """Cancel ``task`` at the first SIGTERM or SIGINT; give back whether that happened."""
    loop = asyncio.get_running_loop()
    heard: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        heard.append(number)
        if task is not None:
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    try:
        yield lambda: bool(heard)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
