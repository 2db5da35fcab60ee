"""``logs``: what the containers of a fleet, a replica set, a Ray cluster or a pod print."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from rayfleet.cli.completing import objects_argument
from rayfleet.cli.durations import Duration
from rayfleet.cli.kinds import Reference, named_references
from rayfleet.cli.target import Session, Target, run
from rayfleet.cli.target_options import target_options
from rayfleet.model.errors import SettingsError, WrongUse
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import FLEETS, PODS, RAY_CLUSTERS, REPLICA_SETS
from rayfleet.objects.labels import FLEET_LABEL, HEAD_NODE_TYPE, NODE_TYPE_LABEL, RAY_CLUSTER_LABEL
from rayfleet.objects.meta import key_of, label, name_of, uid_of
from rayfleet.objects.owners import controller_uid
from rayfleet.objects.pods import container_names

if TYPE_CHECKING:
    from rayfleet.kube.client import KubeClient

_EXAMPLE = "rayfleet logs rcf/NAME"


@click.command("logs")
@objects_argument(required=True, metavar="KIND/NAME")
@click.option("-f", "--follow", is_flag=True, help="Go on printing until Ctrl-C.")
@click.option("-c", "--container", default="", help="Only this container. [default: all]")
@click.option("--head", "is_head_only", is_flag=True, help="Only head pods.")
@click.option("--tail", default=-1, metavar="N", help="Begin with the last N lines.")
@click.option("--since", type=Duration(), help="Only what is newer: 30s, 5m, 1h.")
@click.option("-p", "--previous", is_flag=True, help="The run before the last restart.")
@click.option("--timestamps", is_flag=True, help="Begin each line with its time.")
@target_options
@run
async def logs_command(  # noqa: PLR0913, PLR0917 - click passes options by name
    what: tuple[str, ...],
    follow: bool,
    container: str,
    is_head_only: bool,
    tail: int,
    since: timedelta | None,
    previous: bool,
    timestamps: bool,
    target: Target,
) -> None:
    """Print the logs of the pods of a fleet, a replica set or a Ray cluster, or of one pod.

    A NAME alone is a fleet's, else a pod's. With several containers each line begins with its pod and container.

    \b
    rayfleet logs rcf/smollm2 -f
    rayfleet logs rcf/smollm2 --head -c ray-head --tail 50
    rayfleet logs raycluster/smollm2-5d8f-x2b7k --since 10m
    rayfleet logs pod/smollm2-5d8f-x2b7k-head -c ray-head --previous
    """
    query = {"follow": "true"} if follow else {}
    query |= {"previous": "true"} if previous else {}
    query |= {"timestamps": "true"} if timestamps else {}
    query |= {"tailLines": str(tail)} if tail >= 0 else {}
    query |= {"sinceSeconds": str(max(1, int(since.total_seconds())))} if since is not None else {}
    async with target.session() as session:
        pods = await _pods(session, what, is_head_only=is_head_only)
        streams = _streams(pods, container)
        limit = asyncio.Semaphore(len(streams) if follow else 1)  # at once, or one after the other
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_print_log(session.client, limit, stream, query, has_prefix=len(streams) > 1))
                for stream in streams
            ]
    if all(task.result() for task in tasks):
        raise SettingsError("no log could be read", way_out="`rayfleet describe pod/NAME` says how its containers are.")


async def _pods(session: Session, what: tuple[str, ...], *, is_head_only: bool) -> Sequence[ReadOnlyJson]:
    """Return the pods of what is named. Raises SettingsError when there are none, NotFound for a pod that is not."""
    roles = f",{NODE_TYPE_LABEL}={HEAD_NODE_TYPE}" if is_head_only else ""
    if len(what) == 1 and "/" not in what[0]:
        chosen = [Reference(resource=FLEETS, name=what[0])]
        pods = await _pods_of(session, chosen[0], roles) or await _pods_named(session, what[0])
    else:
        chosen = named_references(what, _EXAMPLE)
        pods = [pod for each in chosen for pod in await _pods_of(session, each, roles)]
    if not pods:
        everybody = (await session.client.list(PODS, session.list_namespace)).items
        fleets = sorted({label(pod, FLEET_LABEL) for pod in everybody} - {""})
        where = "any namespace" if session.is_everywhere else f"namespace {session.namespace}"
        raise SettingsError(
            f"{' '.join(what)} has no pods in {where}",
            way_out=f"Fleets with pods: {', '.join(fleets) or 'none'}. `rayfleet get pods` lists the pods.",
        )
    return pods


async def _pods_of(session: Session, chosen: Reference, roles: str) -> Sequence[ReadOnlyJson]:
    client, namespace = session.client, session.list_namespace
    if chosen.resource == FLEETS:
        return (await client.list(PODS, namespace, label_selector=f"{FLEET_LABEL}={chosen.name}{roles}")).items
    if chosen.resource == RAY_CLUSTERS:
        return (await client.list(PODS, namespace, label_selector=f"{RAY_CLUSTER_LABEL}={chosen.name}{roles}")).items
    key = session.key(chosen.resource, chosen.name)
    if chosen.resource == PODS:
        return [await client.get(PODS, key.name, key.namespace)]
    if chosen.resource != REPLICA_SETS:
        raise WrongUse(f"{chosen.resource.plural} have no pods of their own", way_out=f"For example `{_EXAMPLE}`.")
    owner = uid_of(await client.get(REPLICA_SETS, key.name, key.namespace))
    clusters = [each for each in (await client.list(RAY_CLUSTERS, namespace)).items if controller_uid(each) == owner]
    names = [Reference(resource=RAY_CLUSTERS, name=name_of(cluster)) for cluster in clusters]
    return [pod for each in names for pod in await _pods_of(session, each, roles)]


async def _pods_named(session: Session, name: str) -> Sequence[ReadOnlyJson]:
    named = await session.client.list(PODS, session.list_namespace, field_selector=f"metadata.name={name}")
    return named.items


def _streams(pods: Sequence[ReadOnlyJson], container: str) -> list[tuple[ObjectKey, str]]:
    """Return each pod with each of its containers that is asked for. Raises SettingsError when there is none."""
    named = [(key_of(pod), name) for pod in pods for name in container_names(pod)]
    chosen = [(key, name) for key, name in named if not container or name == container]
    if not chosen:
        known = ", ".join(sorted({name for _, name in named}))
        way_out = f"They have {known}; leave -c out to see all of them."
        raise SettingsError(f"no container {container!r} in these pods", way_out=way_out)
    return chosen


async def _print_log(
    client: "KubeClient",
    limit: asyncio.Semaphore,
    stream: tuple[ObjectKey, str],
    query: dict[str, str],
    *,
    has_prefix: bool,
) -> bool:
    """Print one container's log when ``limit`` lets it; return whether it could not be read."""
    from rayfleet.kube.errors import ApiError
    from rayfleet.kube.requests import object_path

    key, container = stream
    prefix = f"{key.name}/{container}: " if has_prefix else ""
    path = object_path(PODS, key.name, key.namespace, "log")
    rest = b""
    try:
        async with limit:
            async for chunk in client.stream(path, {**query, "container": container}):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    click.echo(prefix + line.decode("utf-8", "replace"))
            if rest:
                click.echo(prefix + rest.decode("utf-8", "replace"))
    except ApiError as error:
        click.echo(f"{prefix}({error.message})", err=True)
        return True
    return False
