"""``endpoint``: where OpenAI clients go."""

import json
import shlex
from collections.abc import Iterable

import click

from rayfleet.cli.target import Target, run, target_options
from rayfleet.local.supervisor.record import Record, read_record
from rayfleet.model.errors import SettingsError
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import HTTP_ROUTES
from rayfleet.objects.parts import mappings, part


@click.command("endpoint")
@click.argument("model", default="")
@click.option("-q", "--quiet", is_flag=True, help="Only the URL.")
@target_options
@run
async def endpoint_command(model: str, quiet: bool, target: Target) -> None:
    """Print the URL of the gateway, and for MODEL (default: each one served) a curl line and an openai snippet."""
    record = running_record(target)
    if quiet:
        click.echo(f"{record.gateway_url}/v1")
        return
    async with target.client() as client:
        routes = await client.list(HTTP_ROUTES)
    models = [model] if model else models_of_routes(routes.items)
    click.echo(f"{record.gateway_url}/v1")
    for name in models:
        click.echo("\n" + "\n".join(usage_lines(record.gateway_url, name)))
    if not models:
        click.echo("No fleet serves a model yet: `rayfleet apply -f fleet.yaml`.", err=True)


def running_record(target: Target) -> Record:
    """Return the record of the running local cluster. Raises SettingsError when it does not run."""
    record = read_record(target.folders.record)
    if record is None or not record.supervisor.is_alive():
        raise SettingsError(
            f"cluster {target.name!r} does not run on this machine", way_out="Start it with `rayfleet up --detach`."
        )
    return record


def models_of_routes(routes: Iterable[ReadOnlyJson]) -> list[str]:
    """Return the model names that routes match by header, sorted. Pure."""
    rules = [rule for route in routes for rule in mappings(part(route, "spec").get("rules"))]
    matches = [match for rule in rules for match in mappings(rule.get("matches"))]
    headers = [header for match in matches for header in mappings(match.get("headers"))]
    return sorted({str(header["value"]) for header in headers if header["name"].lower() == "model"})


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
