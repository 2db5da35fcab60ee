"""``logs``: what the containers of a fleet's pods print."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from rayfleet.cli.target import Target, run, target_options
from rayfleet.model.errors import SettingsError
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import PODS
from rayfleet.objects.labels import FLEET_LABEL, HEAD_NODE_TYPE, NODE_TYPE_LABEL
from rayfleet.objects.meta import label, name_of, namespace_of
from rayfleet.objects.parts import mappings, part

if TYPE_CHECKING:
    from rayfleet.kube.client import KubeClient


@click.command("logs")
@click.argument("fleet_or_pod")
@click.option("-f", "--follow", is_flag=True, help="Go on printing until Ctrl-C.")
@click.option("-c", "--container", default="", help="Only this container. [default: all]")
@click.option("--head", "is_head_only", is_flag=True, help="Only head pods.")
@click.option("--tail", default=-1, metavar="N", help="Begin with the last N lines.")
@click.option("-p", "--previous", is_flag=True, help="The run before the last restart.")
@target_options
@run
async def logs_command(  # noqa: PLR0913, PLR0917 - click passes options by name
    fleet_or_pod: str,
    follow: bool,
    container: str,
    is_head_only: bool,
    tail: int,
    previous: bool,
    target: Target,
) -> None:
    """Print the logs of a fleet's pods, or of one pod; each line begins with its pod and container.

    \b
    rayfleet logs smollm2 -f
    rayfleet logs smollm2 --head -c ray-head --tail 50
    """
    query = {"follow": "true"} if follow else {}
    query |= {"tailLines": str(tail)} if tail >= 0 else {}
    query |= {"previous": "true"} if previous else {}
    async with target.client() as client:
        pods = await _pods(client, fleet_or_pod, target.namespace, is_head_only=is_head_only)
        streams = [(pod, name) for pod in pods for name in _containers(pod, container)]
        if not streams:
            raise SettingsError(f"no container {container!r} in these pods", way_out="Leave -c out to see all of them.")
        if not follow:
            for pod, name in streams:
                await _print_log(client, pod, name, query, has_prefix=len(streams) > 1)
            return
        async with asyncio.TaskGroup() as group:
            for pod, name in streams:
                group.create_task(_print_log(client, pod, name, query, has_prefix=len(streams) > 1))


async def _pods(client: "KubeClient", name: str, namespace: str, *, is_head_only: bool) -> Sequence[ReadOnlyJson]:
    """Return the pods of the fleet of that name, else the pod. Raises SettingsError when there is neither."""
    selector = f"{FLEET_LABEL}={name}" + (f",{NODE_TYPE_LABEL}={HEAD_NODE_TYPE}" if is_head_only else "")
    of_fleet = (await client.list(PODS, namespace or None, label_selector=selector)).items
    if of_fleet:
        return of_fleet
    pods = (await client.list(PODS, namespace or None)).items
    named = [pod for pod in pods if name_of(pod) == name]
    if not named:
        fleets = sorted({label(pod, FLEET_LABEL) for pod in pods} - {""})
        raise SettingsError(
            f"no fleet and no pod named {name!r} has pods in namespace {namespace or '(any)'}",
            way_out=f"Fleets with pods: {', '.join(fleets) or 'none'}. `rayfleet get pods` lists the pods.",
        )
    return named


def _containers(pod: ReadOnlyJson, chosen: str) -> list[str]:
    spec = part(pod, "spec")
    names = [str(entry["name"]) for entry in (*mappings(spec.get("initContainers")), *mappings(spec.get("containers")))]
    return [name for name in names if not chosen or name == chosen]


async def _print_log(
    client: "KubeClient", pod: ReadOnlyJson, container: str, query: dict[str, str], *, has_prefix: bool
) -> None:
    from rayfleet.kube.errors import ApiError

    path = f"/api/v1/namespaces/{quote(namespace_of(pod))}/pods/{quote(name_of(pod))}/log"
    prefix = f"{name_of(pod)}/{container}: " if has_prefix else ""
    rest = b""
    try:
        async for chunk in client.stream(path, {**query, "container": container}):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                click.echo(prefix + line.decode("utf-8", "replace"))
    except ApiError as error:
        click.echo(f"{prefix}({error.message})", err=True)
    if rest:
        click.echo(prefix + rest.decode("utf-8", "replace"))
