"""``plan``: what applying manifests would do, before it is done. Reads, never writes."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from rayfleet.cli.manifest_files import FILES, read_documents
from rayfleet.cli.objects import applied_object, check_fleets, in_namespace, live_object, placed_documents
from rayfleet.cli.target import Target, run
from rayfleet.cli.target_options import target_options
from rayfleet.model.absence import Absence
from rayfleet.model.errors import ManifestError
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import (
    DISRUPTION_BUDGETS,
    FLEETS,
    PODS,
    RAY_CLUSTERS,
    REPLICA_SETS,
    SERVICES,
    ResourceType,
)
from rayfleet.objects.meta import kind_of, name_of, namespace_of

if TYPE_CHECKING:
    from rayfleet.controllers.fleet_source import FleetSources
    from rayfleet.kube.client import KubeClient
    from rayfleet.kube.store import Store
    from rayfleet.model.serving import Serving
    from rayfleet.plugin.contracts import Engine
    from rayfleet.preflight.course import Course

READ = (REPLICA_SETS, RAY_CLUSTERS, PODS, SERVICES, DISRUPTION_BUDGETS)
"""What the controller's plan for a fleet rests on, as far as it changes objects; a test holds it to that."""


@click.command("plan")
@FILES
@click.option("--offline", is_flag=True, help="Ask no API server: as if nothing were there yet.")
@target_options
@run
async def plan_command(files: tuple[str, ...], offline: bool, target: Target) -> None:
    """Say what applying manifests would do: objects, fields, revisions, and accelerators now, at the peak and then.

    The API server is asked for each object as for a dry run, so what it refuses is refused here; for a fleet the
    controller's own plan is made on what is there. Nothing is written.

    \b
    rayfleet plan -f fleet.yaml
    rayfleet plan -f fleet.yaml --offline
    """
    documents = [each.raw for each in await asyncio.to_thread(read_documents, files)]
    await asyncio.to_thread(check_fleets, documents)
    sources = await asyncio.to_thread(_sources)
    if offline:
        for placed in (in_namespace(each, target.namespace or "default") for each in documents):
            _show(placed, "created", [])
            _show_course(placed, _Read({}), sources)
        return
    async with target.session() as session:
        for placed in placed_documents(documents, target, session):
            await _planned(session.client, placed, sources)


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read once, as a pass of the controller sees it."""

    stores: Mapping[ResourceType, "Store"]

    def store(self, resource: ResourceType) -> "Store":
        from rayfleet.kube.store import Store

        return self.stores.get(resource, Store())

    def absences(self, resources: Iterable[ResourceType]) -> Mapping[ResourceType, Absence]:
        del resources
        return {}


async def _planned(client: "KubeClient", placed: ReadOnlyJson, sources: "FleetSources") -> None:
    from rayfleet.kube.apply import DryRun
    from rayfleet.preflight.changes import changes

    live = await live_object(client, placed)
    applied, after = await applied_object(client, placed, DryRun.SERVER)
    lines = [str(change) for change in changes(live, after)] if live is not None else []
    _show(placed, applied, lines)
    if kind_of(placed) == FLEETS.kind:
        _show_course(after, await _read(client, namespace_of(after)), sources)


async def _read(client: "KubeClient", namespace: str) -> _Read:
    from rayfleet.controllers.run import SELECTIONS
    from rayfleet.kube.errors import NotFound
    from rayfleet.kube.store import Store

    stores = {resource: Store() for resource in READ}
    for resource, store in stores.items():
        try:
            selection = SELECTIONS.get(resource)
            listed = await client.list(
                resource, namespace, label_selector=selection.label_selector if selection else ""
            )
        except NotFound:  # a kind that this cluster lacks
            continue
        for raw in listed.items:
            store.put(raw)
    return _Read(stores)


def _sources() -> "FleetSources":
    from rayfleet.controllers.fleet_source import FleetSources
    from rayfleet.plugin.registry import load
    from rayfleet.plugin.settings import read_plugin_settings

    plugins = load(disabled=read_plugin_settings().disabled)
    return FleetSources(plugins.engines, tuple(plugins.command_readers.values()))


def _show(placed: ReadOnlyJson, applied: str, changed: Sequence[str]) -> None:
    namespace = namespace_of(placed)
    click.echo(f"{kind_of(placed)} {f'{namespace}/' if namespace else ''}{name_of(placed)}: {applied}")
    for line in changed:
        click.echo(f"  {line}")


def _show_course(raw: ReadOnlyJson, read: _Read, sources: "FleetSources") -> None:
    """Print what lies before a fleet; nothing for another kind. Raises ManifestError."""
    from rayfleet.controllers.fleet import observed_fleet
    from rayfleet.planning.observed import ObservedFleet
    from rayfleet.preflight.course import course

    if kind_of(raw) != FLEETS.kind:
        return
    observed = observed_fleet(raw, read, sources)
    if not isinstance(observed, ObservedFleet):
        raise ManifestError(observed.error.subject, observed.error.errors)
    lines = course_lines(course(observed, datetime.now(UTC)))
    serving = observed.fleet.spec.serving
    if serving is not None:
        lines.append(engine_line(sources.engines[serving.engine], serving))
    for line in lines:
        click.echo(f"  {line}")


def engine_line(engine: "Engine", serving: "Serving") -> str:
    """Return the line that tells how an engine spans its nodes, and why so. Pure."""
    plan = engine.launch_plan(serving)
    reason = f": {plan.backend_reason}" if plan.backend_reason else ""
    return f"engine        {engine.name} by {plan.backend.value}{reason}"


def course_lines(course: "Course") -> list[str]:
    """Return the lines that tell of a fleet's course. Pure."""
    bounds = course.bounds
    return [
        f"revision      {course.revision}",
        f"Ray clusters  {course.ray_clusters} (surge {bounds.surge}, unavailable {bounds.unavailable})",
        f"accelerators  {course.accelerators}",
        *(f"{'first' if place == 0 else '':<14}{step}" for place, step in enumerate(course.steps)),
    ]
