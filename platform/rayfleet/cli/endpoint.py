"""``endpoint``: where OpenAI clients go."""

import asyncio
import json
import shlex

import click

from rayfleet.cli.completing import complete_models
from rayfleet.cli.target import Target, run
from rayfleet.cli.target_options import target_options
from rayfleet.local.folders import ClusterFolders
from rayfleet.local.supervisor.record import Record, read_record
from rayfleet.model.errors import SettingsError
from rayfleet.model.resources import GATEWAYS, HTTP_ROUTES
from rayfleet.objects.gateways import models_of_routes, url_of_gateways
from rayfleet.objects.meta import key_of


@click.command("endpoint")
@click.argument("model", default="", shell_complete=complete_models)
@click.option("-q", "--quiet", is_flag=True, help="Only the URL.")
@target_options
@run
async def endpoint_command(model: str, quiet: bool, target: Target) -> None:
    """Print the URL of the gateway, and for MODEL (default: each one served) a curl line and an openai snippet.

    \b
    rayfleet endpoint
    rayfleet endpoint smollm2
    rayfleet endpoint -q   for OPENAI_BASE_URL
    """
    folders = await target.local_folders()
    if folders is None:
        url = await _gateway_url(target)
    else:
        url = (await asyncio.to_thread(running_record, folders)).gateway_url
    if quiet:
        click.echo(f"{url}/v1")
        return
    async with target.session() as session:
        routes = await session.client.list(HTTP_ROUTES)
    models = [model] if model else models_of_routes(routes.items)
    click.echo(f"{url}/v1")
    for name in models:
        click.echo("\n" + "\n".join(usage_lines(url, name)))
    if not models:
        click.echo("No fleet serves a model yet: `rayfleet apply -f fleet.yaml`.", err=True)


def running_record(folders: ClusterFolders) -> Record:
    """Return the record of the running local cluster. Raises SettingsError when it does not run."""
    record = read_record(folders.record)
    if record is None or not record.supervisor.is_alive():
        raise SettingsError(
            f"cluster {folders.root.name!r} does not run on this machine",
            way_out="Start it with `rayfleet up --detach`.",
        )
    return record


async def _gateway_url(target: Target) -> str:
    async with target.session() as session:
        gateways = (await session.client.list(GATEWAYS)).items
    url = url_of_gateways(gateways)
    if not url:
        names = ", ".join(str(key_of(gateway)) for gateway in gateways) or "none"
        raise SettingsError(
            f"no Gateway of this cluster has an address yet (Gateways: {names})",
            way_out="`kubectl port-forward` to its Service reaches it meanwhile.",
        )
    return url


def usage_lines(url: str, model: str) -> list[str]:
    """Return a curl line and a Python snippet that work as they stand. Pure."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "What is the capital of France?"}]})
    return [
        f"curl {url}/v1/chat/completions -H 'Content-Type: application/json' -d {shlex.quote(body)}",
        "",
        "from openai import OpenAI",
        f'client = OpenAI(base_url="{url}/v1", api_key="unused")',
        'messages = [{"role": "user", "content": "What is the capital of France?"}]',
        f'print(client.chat.completions.create(model="{model}", messages=messages).choices[0].message.content)',
    ]
