"""``up``: a fleet on this machine, from nothing to a first answer, and then until Ctrl-C."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rayfleet.cli.phases import Phases
from rayfleet.cli.settings import read_cli_settings
from rayfleet.cli.target import Target, run
from rayfleet.model.errors import SettingsError
from rayfleet.model.meta import JsonObject, ObjectKey
from rayfleet.model.resources import FLEETS, NAMESPACES

if TYPE_CHECKING:
    from rayfleet.kube.client import KubeClient
    from rayfleet.local.up.launch import Launched

QUESTION = "What is the capital of France?"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wishes:
    """The options of `up`."""

    files: tuple[str, ...]
    name: str
    once: bool
    detach: bool
    gateway_port: int
    api_port: int
    accelerators: tuple[str, ...]
    question: str
    timeout: timedelta


@click.command("up")
@click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    help="Manifest with fleets. [default: what the cluster has, else a quickstart]",
)
@click.option(
    "--name", default="default", show_default=True, help="Name of the cluster; each has its own state folder."
)
@click.option("--once", is_flag=True, help="Answer one question, shut down, exit.")
@click.option("--detach", is_flag=True, help="Return when the first answer came; `rayfleet down` ends the cluster.")
@click.option(
    "--gateway-port", default=8000, show_default=True, help="Port for OpenAI clients on 127.0.0.1; 0: any free one."
)
@click.option(
    "--api-port", default=0, help="Port of the API server. [default: the one of last time, else any free one]"
)
@click.option(
    "--accelerators",
    multiple=True,
    metavar="RESOURCE=N",
    help="What the node offers, as nvidia.com/gpu=4; may be repeated.",
)
@click.option("--question", default=QUESTION, show_default=True, help="What to ask the model first.")
@click.option("--timeout", default=300, show_default=True, help="Seconds to wait for the first answer.")
def up_command(  # noqa: PLR0913, PLR0917 - click passes options by name
    files: tuple[str, ...],
    name: str,
    once: bool,
    detach: bool,
    gateway_port: int,
    api_port: int,
    accelerators: tuple[str, ...],
    question: str,
    timeout: int,
) -> None:
    """Serve fleets on this machine: API server, controllers, node, Ray clusters, engines and gateway.

    Without -f it serves a small real model (SmolLM2) on a Ray cluster of two nodes. The API server is a Kubernetes one
    for kubectl; state lies in one folder per --name and survives.

    \b
    rayfleet up                                       quickstart, until Ctrl-C
    rayfleet up -f fleet.yaml --detach                in the background; see `rayfleet status`, `rayfleet down`
    rayfleet up --once                                one answer, then everything is shut down
    """
    wishes = _Wishes(
        files=files,
        name=name,
        once=once,
        detach=detach,
        gateway_port=gateway_port,
        api_port=api_port,
        accelerators=accelerators,
        question=question,
        timeout=timedelta(seconds=timeout),
    )
    run(_up)(wishes)


async def _up(wishes: _Wishes) -> int:
    if wishes.once and wishes.detach:
        raise SettingsError("--once and --detach exclude each other", way_out="--once shuts down when it has answered.")
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted.set)
    phases = Phases(is_plain=read_cli_settings().is_plain)
    work = asyncio.create_task(_serve(wishes, phases, interrupted))
    stopping = asyncio.create_task(interrupted.wait())
    try:
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
    except BaseException:
        phases.abandon()
        raise
    finally:
        stopping.cancel()
    return 0


async def _serve(wishes: _Wishes, phases: Phases, interrupted: asyncio.Event) -> None:
    from rayfleet.cli.objects import check_fleets, read_manifests

    documents = read_manifests(wishes.files) if wishes.files else []
    phases.begin("environment", "plugins, manifest")
    check_fleets(documents)
    async with _running(wishes, phases) as launched, _opened(launched) as client:
        if not documents and not (await client.list(FLEETS)).items:
            documents = _quickstart()
        fleets = await _applied(client, documents)
        phases.end(f"API server, node, controllers and gateway run (cluster {wishes.name})")
        await _fetch_models(fleets, phases)
        for index, fleet in enumerate(fleets):
            await _first_answer(client, fleet, launched, wishes, phases, is_first=index == 0)
        if wishes.once:
            return
        _print_usage(launched, [_served_model(fleet) for fleet in fleets], is_detached=wishes.detach)
        if not wishes.detach:
            await _stay(launched, interrupted)


@asynccontextmanager
async def _running(wishes: _Wishes, phases: Phases) -> "AsyncIterator[Launched]":
    """Run the cluster; end it when the block ends, except that a detached one lives on after success."""
    import os

    from rayfleet.local.supervisor.settings import SupervisorSettings
    from rayfleet.local.up.launch import launch, stop

    target = Target(kubeconfig=None, name=wishes.name, namespace="default")
    settings = SupervisorSettings(
        root=target.folders.root,
        name=wishes.name,
        api_port=wishes.api_port,
        gateway_port=wishes.gateway_port,
        accelerators=_accelerators(wishes.accelerators),
        follow_pid=0 if wishes.detach else os.getpid(),
    )
    phases.update("starting API server, node, controllers, gateway")
    launched = await launch(settings)
    is_kept = False
    try:
        yield launched
        is_kept = wishes.detach
    except BaseException:
        phases.abandon()
        raise
    finally:
        if not is_kept:
            phases.begin("shutdown", "ending replicas in order")
            await asyncio.shield(stop(launched.folders))
            phases.end(f"state kept in {launched.folders.root}")


@asynccontextmanager
async def _opened(launched: "Launched") -> "AsyncIterator[KubeClient]":
    from rayfleet.kube.config import connect

    async with await connect(launched.folders.kubeconfig) as client:
        yield client


async def _applied(client: "KubeClient", documents: Sequence[JsonObject]) -> list[JsonObject]:
    """Apply the documents and return the fleets to wait for: those applied, or all of them when nothing was."""
    from rayfleet.cli.objects import in_namespace
    from rayfleet.kube.apply import apply_object

    placed = [in_namespace(document, "default") for document in documents]
    await _ensure_namespaces(client, placed)
    applied = []
    for document in placed:
        _, stored = await apply_object(client, document)
        applied.append(stored)
    if not documents:
        return list((await client.list(FLEETS)).items)
    return [stored for stored in applied if stored["kind"] == FLEETS.kind]


async def _ensure_namespaces(client: "KubeClient", documents: Sequence[JsonObject]) -> None:
    """Make the namespaces that the documents lie in: on one machine nobody else has made them before."""
    from rayfleet.kube.errors import AlreadyExists

    names = {str(document["metadata"].get("namespace") or "") for document in documents} - {""}
    made = {document["metadata"]["name"] for document in documents if document.get("kind") == NAMESPACES.kind}
    for name in sorted(names - made):
        with contextlib.suppress(AlreadyExists):
            await client.create(NAMESPACES, {"apiVersion": "v1", "kind": NAMESPACES.kind, "metadata": {"name": name}})
            click.echo(f"made namespace {name}", err=True)


async def _fetch_models(fleets: Sequence[JsonObject], phases: Phases) -> None:
    """Fetch the models that engines of this environment load, so that their download is seen and not guessed at."""
    from rayfleet.local.up.prefetch import models_to_fetch
    from rayfleet.plugin.cache import cache_folder
    from rayfleet.plugin.disabled import disabled_plugins
    from rayfleet.plugin.fetch import fetch_model
    from rayfleet.plugin.registry import load

    registry = load(disabled=disabled_plugins())
    for wanted in models_to_fetch(registry, fleets):
        phases.begin("model", wanted.reference)
        path = await asyncio.to_thread(
            fetch_model, registry, wanted.reference, wanted.form, cache_folder(), phases.update
        )
        phases.end(f"{wanted.reference} ({_size(path)})")


async def _first_answer(
    client: "KubeClient", fleet: JsonObject, launched: "Launched", wishes: _Wishes, phases: Phases, *, is_first: bool
) -> None:
    from rayfleet.local.up.ask import ask
    from rayfleet.local.up.fleet_watch import watch_fleet

    key = ObjectKey(namespace=fleet["metadata"]["namespace"], name=fleet["metadata"]["name"])
    if not fleet["spec"].get("replicas", 1):
        click.echo(f"fleet {key} has 0 replicas; nothing to wait for", err=True)
        return
    phases.begin("Ray cluster")
    is_forming = True
    looks = watch_fleet(client, key, launched.folders.pods, wishes.timeout)
    async with contextlib.aclosing(looks):
        async for look in looks:
            nodes = f"{look.progress.nodes_up}/{look.progress.nodes_expected} nodes"
            if is_forming and (look.progress.nodes_up >= look.progress.nodes_expected or look.progress.is_ready):
                phases.end(nodes)
                phases.begin("engine")
                is_forming = False
            replicas = f"{look.progress.replicas_ready}/{look.progress.replicas_expected} replicas ready"
            phases.update(nodes if is_forming else f"{replicas}  {look.engine_message}".rstrip())
            if look.progress.is_ready:
                phases.end(replicas)
                break
    model = _served_model(fleet)
    if not model:
        click.echo(f"fleet {key} names no model (label model.aibrix.ai/name), so it has no route", err=True)
        return
    phases.begin("first token", f"asking {model}: {wishes.question}")
    answer = await ask(launched.record.gateway_url, model, wishes.question, timedelta(seconds=60))
    rate = answer.chunks / max(0.001, (answer.total - answer.first_token).total_seconds())
    phases.end(
        f"{answer.first_token.total_seconds():.2f} s to the first token, {answer.chunks} tokens, {rate:.0f} tokens/s; "
        f"{phases.total_seconds:.1f} s in all"
    )
    if is_first:
        click.echo(f"\n> {wishes.question}")
    click.echo(f"{model}: {answer.text}")


async def _stay(launched: "Launched", interrupted: asyncio.Event) -> None:
    """Wait for Ctrl-C, telling of processes that had to be started again."""
    from rayfleet.local.supervisor.record import read_record

    told: dict[str, int] = {}
    while not interrupted.is_set():
        if launched.process.poll() is not None:
            raise SettingsError(
                "the supervisor ended; the replicas go on without it",
                way_out="`rayfleet up` takes them back, `rayfleet down` ends them.",
            )
        record = read_record(launched.folders.record)
        for name, entry in (record.processes if record else {}).items():
            if entry.restarts > told.get(name, 0):
                told[name] = entry.restarts
                click.echo(
                    f"{name} ended ({entry.last_exit}) and was started again; log: {launched.folders.logs / name}.log",
                    err=True,
                )
        await asyncio.sleep(0.5)


def _print_usage(launched: "Launched", models: Sequence[str], *, is_detached: bool) -> None:
    from rayfleet.cli.endpoint import usage_lines

    url = launched.record.gateway_url
    click.echo(f"\nServing {', '.join(filter(None, models)) or 'no model'} at {url}/v1")
    for model in list(filter(None, models))[:1]:
        click.echo("\n" + "\n".join(f"  {line}".rstrip() for line in usage_lines(url, model)))
    click.echo(f"\n  export KUBECONFIG={launched.folders.kubeconfig}   # kubectl get rcf")
    click.echo("\n" + ("`rayfleet down` ends it." if is_detached else "Ctrl-C ends it."))
    sys.stdout.flush()


def _served_model(fleet: JsonObject) -> str:
    from rayfleet.manifest.fleet import decode_fleet
    from rayfleet.planning.fleet.model_name import model_name

    return model_name(decode_fleet(fleet)) or ""


def _quickstart() -> list[JsonObject]:
    from rayfleet.manifest.documents import load_documents

    text = (resources.files("rayfleet") / "deploy" / "quickstart.yaml").read_text(encoding="utf-8")
    return [document.raw for document in load_documents(text, "quickstart.yaml")]


def _accelerators(entries: Sequence[str]) -> dict[str, int]:
    found = {}
    for entry in entries:
        resource, _, count = entry.partition("=")
        if not resource or not count.isdigit():
            raise SettingsError(
                f"--accelerators {entry!r} is not RESOURCE=N", way_out="For example --accelerators nvidia.com/gpu=4."
            )
        found[resource] = int(count)
    return found


def _size(path: Path) -> str:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return f"{sum(each.stat().st_size for each in files) / 2**20:.0f} MiB"
