"""The controller process: connect, check, lead, run.

``run`` is ``rayfleet controller``; ``run_controllers`` is for a process that runs others beside them (``rayfleet up``).
"""

import asyncio
import logging
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

from rayfleet.controllers.fleet import fleet_steps, fleet_watches, replica_sets_of
from rayfleet.controllers.fleet_source import FleetSources
from rayfleet.controllers.operators import AdminSettings, Standing, served
from rayfleet.controllers.replica_set import REPLICA_SET, replica_set_part
from rayfleet.controllers.route import route_steps, route_watches
from rayfleet.kube.client import ClientSettings, KubeClient
from rayfleet.kube.config import Kubeconfig, connect
from rayfleet.kube.errors import Forbidden, NotFound, Unreachable
from rayfleet.kube.events import EventRecorder
from rayfleet.kube.lease import LeaderElector, LeaseSettings
from rayfleet.kube.reflector import ReflectorSettings, Selection
from rayfleet.kube.watches import Reflectors
from rayfleet.model.errors import PluginError
from rayfleet.model.meta import ObjectKey
from rayfleet.model.policies import RouteDefaults
from rayfleet.model.resources import (
    DISRUPTION_BUDGETS,
    ENDPOINT_SLICES,
    FLEETS,
    HTTP_ROUTES,
    PODS,
    RAY_CLUSTERS,
    REPLICA_SETS,
    SERVICES,
    ResourceType,
)
from rayfleet.objects.labels import RAY_CLUSTER_LABEL
from rayfleet.objects.pods import trimmed_pod
from rayfleet.plugin import registry
from rayfleet.plugin.bounded import BoundedEngine, BoundedReader
from rayfleet.plugin.watch import Watch
from rayfleet.process import until_stopped
from rayfleet.reconciling.assembly import ControllerPart, Shared, run_together
from rayfleet.reconciling.runtime import RuntimeSettings

log = logging.getLogger(__name__)

WATCHED = (FLEETS, REPLICA_SETS, RAY_CLUSTERS, PODS, SERVICES, HTTP_ROUTES, ENDPOINT_SLICES, DISRUPTION_BUDGETS)
SELECTIONS: Mapping[ResourceType, Selection] = {PODS: Selection(label_selector=RAY_CLUSTER_LABEL, trim=trimmed_pod)}
"""Of all pods of a cluster only those of Ray clusters are held, and little of each."""
COMPONENT = "rayfleet-controller"
RUNTIME = RuntimeSettings(pace=timedelta(milliseconds=250), status_hold=timedelta(seconds=2))
"""A rollout of many replicas is some hundred changes; measured by ``python -m tests.bench fleets``."""
_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerSettings:
    """How the controller process runs; the command line fills it.

    ``kubeconfig`` None: the pod's service account. ``namespace`` None: all. ``lease`` None: no leader election (one
    process only). ``disabled_plugins`` are entry point names. ``limits`` hold for all requests together.
    ``admin`` None: no port for operators.
    """

    kubeconfig: Kubeconfig = None
    context: str | None = None
    namespace: str | None = None
    lease: LeaseSettings | None = None
    disabled_plugins: tuple[str, ...] = ()
    routes: RouteDefaults = field(default_factory=RouteDefaults)
    runtime: RuntimeSettings = RUNTIME
    limits: ClientSettings = field(default_factory=ClientSettings)
    admin: AdminSettings | None = None
    start_limit: timedelta = timedelta(seconds=15)


def lease_identity() -> str:
    """Return a name that no other process has, nor this one's container had before: ``HOST_RANDOM``.

    A process id does not tell them apart: it is 1 in every container, and pods on a node's own network share its name.
    Two that took each other's lease for their own would both lead. As client-go's: a host name is no word with ``_``.
    """
    return f"{platform.node()}_{uuid4().hex[:12]}"


def lease_settings(namespace: str, identity: str) -> LeaseSettings:
    """Return the lease that all controller processes of a cluster compete for. Pure."""
    return LeaseSettings(key=ObjectKey(namespace=namespace, name=COMPONENT), identity=identity)


def usable_plugins(disabled_plugins: Sequence[str]) -> FleetSources:
    """Return what the plugins that can be used know of fleets; each other plugin is told in the log.

    A plugin that is broken costs the fleets that name its engine a condition, and all others nothing.
    """

    def refuse(error: PluginError) -> None:
        log.error("a plugin is left out", extra={"reason": str(error)})

    watch = Watch()
    plugins = registry.load(disabled=disabled_plugins, refuse=refuse, bounded=watch.call)
    return FleetSources(
        {name: BoundedEngine(engine, watch) for name, engine in plugins.engines.items()},
        tuple(BoundedReader(reader, watch) for reader in plugins.command_readers.values()),
    )


async def run(settings: ControllerSettings) -> None:
    """Run the controllers with the installed engines until SIGTERM or SIGINT.

    Raises SettingsError, LeadershipLost, ApiError.
    """
    sources = usable_plugins(settings.disabled_plugins)

    async def connected() -> None:
        async with await connect(settings.kubeconfig, settings.context, settings=settings.limits) as client:
            await run_controllers(client, settings, sources)

    await until_stopped(connected())


async def run_controllers(client: KubeClient, settings: ControllerSettings, sources: FleetSources) -> None:
    """Run the controllers until cancelled. Raises Unreachable, LeadershipLost, EnvironmentProblem (the port)."""
    standing = Standing()
    if settings.admin is None:
        await _elected(client, settings, sources, standing)
        return
    async with served(standing, settings.admin):
        await _elected(client, settings, sources, standing)


async def _elected(client: KubeClient, settings: ControllerSettings, sources: FleetSources, standing: Standing) -> None:
    await check_server(client, limit=settings.start_limit)

    async def work(may_act: Callable[[], bool]) -> None:
        reflectors = controller_reflectors(client, settings.namespace)
        standing.leads(reflectors)
        shared = Shared(
            client=client,
            reflectors=reflectors,
            recorder=EventRecorder(client, COMPONENT),
            may_act=may_act,
            settings=settings.runtime,
            now=client.clock.now,
            telemetry=standing.telemetry,
        )
        await run_together(controller_parts(reflectors, sources, client, settings.routes), shared)

    if settings.lease is None:
        standing.stands_by()
        await work(lambda: True)
        return
    elector = LeaderElector(client, settings.lease)
    standing.stands_by(lambda: elector.refusal)
    await elector.lead(lambda: work(elector.may_act))


async def check_server(client: KubeClient, *, limit: timedelta) -> None:
    """Check that the API server answers; one that is just starting gets ``limit``.

    Kinds that it lacks are no reason to stop: the watches say what is missing, look again, and go on once it is there.
    Raises Unreachable.
    """
    deadline = asyncio.get_running_loop().time() + limit.total_seconds()
    while True:
        try:
            await client.raw("GET", f"{FLEETS.base_path}/{FLEETS.plural}", query={"limit": "1"})
        except Unreachable:
            if asyncio.get_running_loop().time() >= deadline:
                raise
        except (NotFound, Forbidden):
            return
        else:
            return
        await asyncio.sleep(_POLL_SECONDS)


def controller_reflectors(
    client: KubeClient, namespace: str | None, settings: ReflectorSettings | None = None
) -> Reflectors:
    """Return the reflectors that our controllers read; ``namespace`` None: of all."""
    return Reflectors(client, WATCHED, namespace, settings, SELECTIONS)


def controller_parts(
    reflectors: Reflectors, sources: FleetSources, client: KubeClient, routes: RouteDefaults | None = None
) -> tuple[ControllerPart, ...]:
    """Return our controllers, a line each; ``reflectors`` are ``controller_reflectors``'.

    ``client`` asks where the stores may be behind.
    """
    return (
        ControllerPart(
            name="fleet",
            steps=fleet_steps(reflectors, sources, client, routes),
            watches=fleet_watches(reflectors),
            rests_on={REPLICA_SET: lambda key: replica_sets_of(key, reflectors)},
        ),
        replica_set_part(reflectors, client),
        ControllerPart(name="route", steps=route_steps(reflectors, routes), watches=route_watches(reflectors)),
    )
