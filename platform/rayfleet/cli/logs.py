"""``logs``: what the containers of a fleet's pods print."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from rayfleet.cli.target import Target, run, target_options
from rayfleet.model.errors import SettingsError
from rayfleet.model.meta import JsonObject
from rayfleet.model.resources import PODS

if TYPE_CHECKING:
    from rayfleet.kube.client import KubeClient

_FLEET_LABEL = "orchestration.aibrix.ai/raycluster-fleet-name"


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


async def _pods(client: "KubeClient", name: str, namespace: str, *, is_head_only: bool) -> Sequence[JsonObject]:
    selector = f"{_FLEET_LABEL}={name}" + (",ray.io/node-type=head" if is_head_only else "")
    found = (await client.list(PODS, namespace or None, label_selector=selector)).items
    if found:
        return found
    pods = (await client.list(PODS, namespace or None)).items
    named = [pod for pod in pods if pod["metadata"]["name"] == name]
    if not named:
        names = sorted({pod["metadata"].get("labels", {}).get(_FLEET_LABEL, "") for pod in pods} - {""})
        raise SettingsError(
            f"no fleet and no pod named {name!r} has pods in namespace {namespace or '(any)'}",
            way_out=f"Fleets with pods: {', '.join(names) or 'none'}. `rayfleet get pods` lists the pods.",
        )
    return named


def _containers(pod: JsonObject, chosen: str) -> list[str]:
    names = [entry["name"] for entry in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]]
    return [name for name in names if not chosen or name == chosen]


async def _print_log(
    client: "KubeClient", pod: JsonObject, container: str, query: dict[str, str], *, has_prefix: bool
) -> None:
    from rayfleet.kube.errors import ApiError

    meta = pod["metadata"]
    path = f"/api/v1/namespaces/{quote(meta['namespace'])}/pods/{quote(meta['name'])}/log"
    prefix = f"{meta['name']}/{container}: " if has_prefix else ""
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
