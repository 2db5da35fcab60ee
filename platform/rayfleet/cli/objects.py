"""``apply``, ``get``, ``delete``, ``scale``: objects of the API server, with kubectl's words and options."""

import asyncio
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

import click

from rayfleet.cli.completing import objects_argument
from rayfleet.cli.durations import Duration
from rayfleet.cli.kinds import named_references, references
from rayfleet.cli.manifest_files import FILES, read_documents
from rayfleet.cli.target import Session, Target, run
from rayfleet.cli.target_options import target_options
from rayfleet.model.errors import SettingsError, WrongUse
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import FLEETS, NAMESPACES, REPLICA_SETS, ResourceType
from rayfleet.objects.meta import key_of, kind_of, name_of, namespace_of, uid_of

if TYPE_CHECKING:
    from rayfleet.kube.apply import Applied, DryRun
    from rayfleet.kube.client import KubeClient
    from rayfleet.kube.errors import NotFound


@click.command("apply")
@FILES
@click.option(
    "--dry-run",
    type=click.Choice(["none", "client", "server"]),
    default="none",
    show_default=True,
    help="Store nothing: say what would change, by our own reckoning or with the server's checks and defaults.",
)
@click.option("-q", "--quiet", is_flag=True, help="Leave out the warnings of `rayfleet lint`.")
@target_options
@run
async def apply_command(files: tuple[str, ...], dry_run: str, quiet: bool, target: Target) -> None:
    """Create or change the objects of manifest files.

    Fleets are checked here first: every wrong field is named with its path, and what works but hardly as it is meant
    is warned of (`rayfleet lint`). Other kinds pass to the API server as they are. A dry run prints each field that
    would change.

    \b
    rayfleet apply -f examples/01-quickstart/fleet.yaml
    rayfleet apply -f fleet.yaml --dry-run=server
    """
    from rayfleet.cli.lint import print_findings
    from rayfleet.kube.apply import DryRun

    documents = await asyncio.to_thread(read_documents, files)
    manifests = [document.raw for document in documents]
    await asyncio.to_thread(check_fleets, manifests)
    async with target.session() as session:
        if not quiet:
            await print_findings(documents, session.namespace)
        for placed in placed_documents(manifests, target, session):
            await _apply(session.client, placed, DryRun(dry_run))


@click.command("get")
@objects_argument(metavar="KIND[/NAME] [NAME...]")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "wide", "json", "yaml", "name"]),
    default="table",
    show_default=True,
    help="Columns for people, or the objects themselves.",
)
@click.option("-l", "--selector", default="", help="Label selector, as kubectl takes it.")
@click.option("-w", "--watch", is_flag=True, help="After the list, print every change until Ctrl-C.")
@target_options
@run
async def get_command(what: tuple[str, ...], output: str, selector: str, watch: bool, target: Target) -> None:
    """List objects of a kind, with the API server's own columns.

    \b
    rayfleet get fleets
    rayfleet get pods -o wide -w
    rayfleet get rcf/smollm2 -o yaml
    rayfleet get rcf,rcrs,rayclusters -A
    """
    from rayfleet.cli.tables import print_listing, watch_listing

    chosen = references(what)
    names = [each.name for each in chosen if each.name]
    if watch and len({each.resource for each in chosen}) > 1:
        raise WrongUse("-w follows one kind", way_out="Start one command for each kind.")
    if names and selector:
        raise WrongUse("names and -l each say which objects", way_out="Give one of them.")
    async with target.session() as session:
        await print_listing(session, chosen, selector=selector, output=output)
        if watch:
            await watch_listing(session, chosen[0], selector=selector)


@click.command("delete")
@objects_argument(metavar="[KIND[/NAME] [NAME...]]")
@click.option("-f", "--filename", "files", multiple=True, help="Delete the objects of these manifest files.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until the objects are gone.")
@click.option("--timeout", type=Duration(), default="120s", show_default=True, help="How long to wait at most.")
@target_options
@run
async def delete_command(
    what: tuple[str, ...], files: tuple[str, ...], wait: bool, timeout: timedelta, target: Target
) -> None:
    """Delete objects, and wait until they (and what they own, for fleets) are gone.

    \b
    rayfleet delete rcf/smollm2
    rayfleet delete -f fleet.yaml
    """
    from rayfleet.kube.apply import resource_of
    from rayfleet.kube.errors import NotFound
    from rayfleet.model.propagation import Propagation

    if bool(what) == bool(files):
        raise WrongUse("say what to delete, by name or by -f", way_out="For example `rayfleet delete rcf/NAME`.")
    documents = await asyncio.to_thread(read_manifests, files) if files else []
    chosen = named_references(what, "rayfleet delete rcf/NAME") if what else []
    async with target.session() as session:
        client = session.client
        doomed = [(resource_of(each), key_of(each)) for each in reversed(placed_documents(documents, target, session))]
        doomed += [(each.resource, session.key(each.resource, each.name)) for each in chosen]
        going: dict[tuple[ResourceType, ObjectKey], str] = {}
        for resource, key in doomed:
            owns = resource in {FLEETS, REPLICA_SETS}
            propagation = Propagation.FOREGROUND if owns else Propagation.BACKGROUND
            try:
                uid = uid_of(await client.get(resource, key.name, key.namespace or None))
                await client.delete(resource, key, propagation=propagation)
            except NotFound as error:
                click.echo(f"error: {error}", err=True)
            else:
                going[resource, key] = uid
                click.echo(f"{resource.plural}/{key.name} deleted")
        if wait:
            await _wait_gone(client, going, timeout)
    if len(going) < len(set(doomed)):
        sys.exit(1)


@click.command("scale")
@objects_argument(required=True, metavar="KIND/NAME")
@click.option("--replicas", type=click.IntRange(min=0), required=True, help="Ray clusters wanted.")
@target_options
@run
async def scale_command(what: tuple[str, ...], replicas: int, target: Target) -> None:
    """Set the number of replicas (Ray clusters) of a fleet.

    \b
    rayfleet scale rcf/smollm2 --replicas 3
    """
    chosen = named_references(what, "rayfleet scale rcf/NAME --replicas 2")
    async with target.session() as session:
        for each in chosen:
            key = session.key(each.resource, each.name)
            await session.client.patch(each.resource, key, {"spec": {"replicas": replicas}}, subresource="scale")
            click.echo(f"{each} scaled")


def read_manifests(files: Iterable[str]) -> list[Json]:
    """Return the documents of files, folders and ``-``, in order. Raises ManifestError and SettingsError."""
    return [document.raw for document in read_documents(files)]


def check_fleets(documents: Iterable[ReadOnlyJson]) -> None:
    """Raise the ManifestError of the first fleet or replica set that cannot be accepted.

    PluginError for a plugin that is broken.
    """
    from rayfleet.manifest.fleet import decode_fleet
    from rayfleet.manifest.replica_set import decode_replica_set
    from rayfleet.plugin.checks import check_serving
    from rayfleet.plugin.registry import load
    from rayfleet.plugin.settings import read_plugin_settings

    loaded = cache(lambda: load(disabled=read_plugin_settings().disabled))  # only for a fleet that needs an engine
    for document in documents:
        if kind_of(document) == FLEETS.kind:
            fleet = decode_fleet(document)
            if fleet.spec.serving is not None:
                plugins = loaded()
                check_serving(fleet, fleet.spec.serving, plugins.engines, plugins.model_sources)
        elif kind_of(document) == REPLICA_SETS.kind:
            decode_replica_set(document)


def in_namespace(document: ReadOnlyJson, namespace: str) -> ReadOnlyJson:
    """Return the object with its namespace filled in where its kind has one and none is given."""
    from rayfleet.kube.apply import resource_of

    if not resource_of(document).is_namespaced or namespace_of(document):
        return document
    return {**document, "metadata": {**document["metadata"], "namespace": namespace}}


def placed_documents(documents: Iterable[ReadOnlyJson], target: Target, session: Session) -> list[ReadOnlyJson]:
    """Return the objects with their namespaces. Raises WrongUse where ``-n`` says another than the manifest."""
    if target.is_everywhere:
        raise WrongUse("-A is for listing, not for manifests", way_out="Name the namespace with -n.")
    placed = [in_namespace(document, session.namespace) for document in documents]
    for document in placed:
        own = namespace_of(document)
        if target.namespace and own and own != target.namespace:
            raise WrongUse(
                f"{_spoken(document)}: its manifest says namespace {own!r}, the command line {target.namespace!r}",
                way_out=f"Leave -n out, or say -n {own}.",
            )
    return placed


async def applied_object(
    client: "KubeClient", placed: ReadOnlyJson, dry_run: "DryRun"
) -> tuple["Applied", ReadOnlyJson]:
    """Apply an object, or try to; return what was done and the object. Raises SettingsError where its place lacks."""
    from rayfleet.kube.apply import apply_object
    from rayfleet.kube.errors import NotFound

    try:
        return await apply_object(client, placed, dry_run=dry_run)
    except NotFound as error:
        raise SettingsError(f"{_spoken(placed)}: {error.message}", way_out=_missing(placed, error)) from error


async def live_object(client: "KubeClient", placed: ReadOnlyJson) -> ReadOnlyJson | None:
    """Return the object that is there now, None without one."""
    from rayfleet.kube.apply import resource_of
    from rayfleet.kube.errors import NotFound

    try:
        return await client.get(resource_of(placed), name_of(placed), namespace_of(placed) or None)
    except NotFound:
        return None


async def _apply(client: "KubeClient", placed: ReadOnlyJson, dry_run: "DryRun") -> None:
    from rayfleet.kube.apply import DryRun
    from rayfleet.preflight.changes import changes

    live = await live_object(client, placed) if dry_run is not DryRun.NONE else None
    applied, after = await applied_object(client, placed, dry_run)
    mark = {DryRun.NONE: "", DryRun.CLIENT: " (dry run)", DryRun.SERVER: " (server dry run)"}[dry_run]
    click.echo(f"{_spoken(placed)} {applied}{mark}")
    for change in changes(live, after) if live is not None else ():
        click.echo(f"  {change}")


def _spoken(document: ReadOnlyJson) -> str:
    from rayfleet.kube.apply import resource_of

    return f"{resource_of(document).plural}/{name_of(document)}"


def _missing(document: ReadOnlyJson, error: "NotFound") -> str:
    """Return what to do when the API server lacks the namespace that a document names, or else its whole kind."""
    if error.details.get("kind") == NAMESPACES.plural:
        return f"Make it first: `kubectl create namespace {namespace_of(document)}`."
    return f"This API server does not serve {kind_of(document)} of {document['apiVersion']}; install its CRD first."


async def _wait_gone(
    client: "KubeClient", going: Mapping[tuple[ResourceType, ObjectKey], str], limit: timedelta
) -> None:
    """Wait until these objects, with their UIDs, are gone; what a controller makes anew in their place is another."""
    from rayfleet.kube.errors import NotFound

    try:
        async with asyncio.timeout(limit.total_seconds()):
            for (resource, key), uid in going.items():
                with suppress(NotFound):
                    while uid_of(await client.get(resource, key.name, key.namespace or None)) == uid:
                        await asyncio.sleep(0.1)
    except TimeoutError:
        raise SettingsError(
            f"not gone after {limit.total_seconds():.0f} s",
            way_out="Deletion goes on; `rayfleet status` shows what is left. Raise --timeout to wait longer.",
        ) from None
