"""``explain``: why a request would go where, as the gateway sees it now."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import click

from rayfleet.cli.columns import columns
from rayfleet.cli.completing import complete_models
from rayfleet.cli.endpoint import running_record
from rayfleet.cli.target import Target, run
from rayfleet.cli.target_options import target_options
from rayfleet.model.errors import EnvironmentProblem, SettingsError, WrongUse

_SECONDS = 10
_HTTP_BAD_REQUEST = 400


@click.command("explain")
@click.argument("model", default="", shell_complete=complete_models)
@click.option("--path", default="/v1/chat/completions", show_default=True, help="The request's path.")
@click.option("--method", default="POST", show_default=True, help="Its method.")
@click.option("--host", default="", help="The host name that it is sent to.")
@click.option("--query", default="", help="What follows the `?` of its target.")
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header; may be given again.")
@click.option("--admin", "admin_url", default="", metavar="URL", help="The gateway's admin port.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="For people, or JSON.",
)
@target_options
@run
async def explain_command(
    model: str, headers: Sequence[str], admin_url: str, output: str, target: Target, **request: str
) -> None:
    """Say which route a request for MODEL would take and why, and which endpoints could get it.

    \b
    rayfleet explain smollm2
    rayfleet explain smollm2 --path /v1/embeddings --header 'team: a'
    rayfleet explain smollm2 --admin http://127.0.0.1:8001 -o json
    """
    url = admin_url or await _local_admin_url(target)
    parameters = [("model", model), *request.items()]
    parameters = [(name, value) for name, value in parameters if value] + [("header", header) for header in headers]
    text = await _explanation(url.rstrip("/"), parameters)
    is_json = output == "json"
    click.echo(
        json.dumps(json.loads(text), indent=2) if is_json else "\n".join(explanation_lines(read_explanation(text)))
    )


def read_explanation(text: str) -> Any:
    """Return the gateway's JSON with its fields as attributes. Pure; raises ValueError."""
    return json.loads(text, object_hook=lambda fields: SimpleNamespace(**fields))


def explanation_lines(explanation: Any) -> Iterator[str]:
    """Yield an explanation, as ``read_explanation`` has it, as lines for people. Pure."""
    request = explanation.request
    where = f"{request.host}{request.path}{'?' if request.query else ''}{request.query}"
    yield f"{request.method} {where} for the model {request.model or '(none)'}"
    rule = getattr(explanation, "rule", None)
    if rule is not None:
        limits = ", ".join(f"{name} {seconds:g} s" for name, seconds in vars(rule.timeouts).items())
        yield f"takes {rule.route}: {rule.match}{f' (timeouts: {limits})' if limits else ''}"
        yield f"picked by the profile {rule.profile} ({_steps(rule)})"
        yield from (f"  switched off now: {title}" for title in rule.switched_off)
    for backend in getattr(explanation, "backends", ()):
        yield ""
        valid = "" if backend.is_valid else ", refers to nothing that can be asked"
        yield f"{backend.service}: weight {backend.weight}, gets {backend.part:.0%}{valid}"
        yield from columns(_endpoint_rows(backend.endpoints), indent="  ")
    if hasattr(explanation, "answered"):
        yield f"is answered {explanation.answered}"
    if hasattr(explanation, "refused"):
        yield f"is refused: {explanation.refused}"
    others = [each for each in explanation.candidates if each.verdict != "taken"]
    if others:
        yield ""
        yield "not taken:"
        yield from columns([[each.route, each.match, each.verdict] for each in others], indent="  ")


def _steps(rule: Any) -> str:
    steps = [f"filter {name}" for name in rule.filters]
    steps += [f"scorer {name} x {weight:g}" for name, weight in vars(rule.scorers).items()]
    return ", ".join((*steps, f"picker {rule.picker}"))


def _endpoint_rows(endpoints: Sequence[Any]) -> list[list[str]]:
    if not endpoints:
        return [["no endpoint is ready"]]
    has_scores = any(each.score is not None for each in endpoints)
    rows = [["ENDPOINT", "STATE", "IN FLIGHT", "SHARE", "FAILED", *(["SCORE"] if has_scores else []), "PICKED"]]
    for each in endpoints:
        state = each.state if each.is_kept or each.state != "ready" else "dropped by a filter"
        if hasattr(each, "tried_in_seconds"):
            state += f", tried in {each.tried_in_seconds:g} s"
        score = [] if not has_scores else ["-" if each.score is None else f"{each.score:.3g}"]
        facts = [each.endpoint, state, str(each.in_flight), f"{each.share:.2g}", f"{each.failure_rate:.0%}"]
        rows.append([*facts, *score, f"{each.part:.0%}"])
    return rows


async def _local_admin_url(target: Target) -> str:
    folders = await target.local_folders()
    if folders is not None:
        return (await asyncio.to_thread(running_record, folders)).gateway_admin_url
    raise SettingsError(
        "the admin port of this cluster's gateway is not known here",
        way_out="Forward it and name it: `kubectl port-forward deploy/GATEWAY 8001`, `--admin http://127.0.0.1:8001`.",
    )


async def _explanation(url: str, parameters: Sequence[tuple[str, str]]) -> str:
    """Return what the gateway says. Raises WrongUse for a question it cannot read, else EnvironmentProblem."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{url}/debug/explain", params=parameters) as response,
        ):
            if response.status == _HTTP_BAD_REQUEST:
                raise WrongUse((await response.text()).strip())
            response.raise_for_status()
            return await response.text()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise EnvironmentProblem(
            f"no explanation from {url}: {str(error) or type(error).__name__}",
            way_out="Name the gateway's admin port with --admin (its flag --admin-port; not the port of clients).",
        ) from error
