"""What ``up`` does, phase by phase: cluster, objects, models, first answers, and then watching over it."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rayfleet.cli.first_answer import first_answer, wait_until_ready
from rayfleet.cli.phases import Phases
from rayfleet.cli.settings import read_cli_settings
from rayfleet.local.folders import cluster_folders
from rayfleet.model.errors import SettingsError
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import FLEETS, NAMESPACES
from rayfleet.objects.fleets import desired_replicas
from rayfleet.objects.labels import MODEL_LABEL
from rayfleet.objects.meta import key_of, kind_of, name_of, namespace_of

if TYPE_CHECKING:
    from rayfleet.kube.client import KubeClient
    from rayfleet.local.up.launch import Launched


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
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


async def serve(options: UpOptions, phases: Phases, interrupted: asyncio.Event) -> None:
    """Bring the fleets up, ask each model once, and stay until ``interrupted`` unless the options say otherwise."""
    from rayfleet.cli.objects import check_fleets, read_manifests

    documents = read_manifests(options.files) if options.files else []
    phases.begin("environment", "plugins, manifest")
    check_fleets(documents)
    async with _running(options, phases) as launched, _opened(launched) as client:
        if not documents and not (await client.list(FLEETS)).items:
            documents = _quickstart()
        fleets = await _applied(client, documents)
        phases.end(f"API server, node, controllers and gateway run (cluster {options.name})")
        await _fetch_models(fleets, phases)
        for index, fleet in enumerate(fleets):
            await _first_answer(client, fleet, launched, options, phases, is_first=index == 0)
        if options.once:
            return
        _print_usage(launched, [_served_model(fleet) for fleet in fleets], is_detached=options.detach)
        if not options.detach:
            await _stay(launched, interrupted)


@asynccontextmanager
async def _running(options: UpOptions, phases: Phases) -> "AsyncIterator[Launched]":
    """Run the cluster; end it when the block ends, except that a detached one lives on after success."""
    from rayfleet.local.node.settings import accelerator_counts
    from rayfleet.local.supervisor.settings import SupervisorSettings
    from rayfleet.local.up.launch import launch, stop

    settings = SupervisorSettings(
        root=cluster_folders(read_cli_settings().state_home, options.name).root,
        name=options.name,
        api_port=options.api_port,
        gateway_port=options.gateway_port,
        accelerators=accelerator_counts(options.accelerators),
        follow_pid=0 if options.detach else os.getpid(),
    )
    phases.update("starting API server, node, controllers, gateway")
    launched = await launch(settings)
    is_kept = False
    try:
        yield launched
        is_kept = options.detach
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


async def _applied(client: "KubeClient", documents: Sequence[ReadOnlyJson]) -> list[ReadOnlyJson]:
    """Apply the documents and return the fleets to wait for: those applied, or all of them when nothing was."""
    from rayfleet.cli.objects import in_namespace
    from rayfleet.kube.apply import apply_object

    placed = [in_namespace(document, "default") for document in documents]
    await _ensure_namespaces(client, placed)
    applied: list[ReadOnlyJson] = []
    for document in placed:
        _, stored = await apply_object(client, document)
        applied.append(stored)
    if not documents:
        return list((await client.list(FLEETS)).items)
    return [stored for stored in applied if kind_of(stored) == FLEETS.kind]


async def _ensure_namespaces(client: "KubeClient", documents: Sequence[ReadOnlyJson]) -> None:
    """Make the namespaces that the documents lie in: on one machine nobody else has made them before."""
    from rayfleet.kube.errors import AlreadyExists

    names = {namespace_of(document) for document in documents} - {""}
    applied = {name_of(document) for document in documents if kind_of(document) == NAMESPACES.kind}
    for name in sorted(names - applied):
        with contextlib.suppress(AlreadyExists):
            await client.create(NAMESPACES, {"apiVersion": "v1", "kind": NAMESPACES.kind, "metadata": {"name": name}})
            click.echo(f"made namespace {name}", err=True)


async def _fetch_models(fleets: Sequence[ReadOnlyJson], phases: Phases) -> None:
    """Fetch the models that engines of this environment load, so that their download is seen and not guessed at."""
    from rayfleet.local.up.prefetch import models_to_fetch
    from rayfleet.plugin.fetch import fetch_model
    from rayfleet.plugin.registry import load
    from rayfleet.plugin.settings import read_plugin_settings

    settings = read_plugin_settings()
    registry = load(disabled=settings.disabled)
    for model in models_to_fetch(registry, fleets):
        phases.begin("model", model.reference)
        path = await asyncio.to_thread(
            fetch_model, registry, model.reference, model.form, settings.cache, phases.update
        )
        phases.end(f"{model.reference} ({_size(path)})")


async def _first_answer(
    client: "KubeClient",
    fleet: ReadOnlyJson,
    launched: "Launched",
    options: UpOptions,
    phases: Phases,
    *,
    is_first: bool,
) -> None:
    key = key_of(fleet)
    if not desired_replicas(fleet):
        click.echo(f"fleet {key} has 0 replicas; nothing to wait for", err=True)
        return
    await wait_until_ready(client, key, launched.folders.pods, options.timeout, phases)
    model = _served_model(fleet)
    if not model:
        click.echo(f"fleet {key} names no model (label {MODEL_LABEL}), so it has no route", err=True)
        return
    answer = await first_answer(launched.record.gateway_url, model, options.question, phases)
    if is_first:
        click.echo(f"\n> {options.question}")
    click.echo(f"{model}: {answer}")


async def _stay(launched: "Launched", interrupted: asyncio.Event) -> None:
    """Wait for Ctrl-C, telling of processes that had to be started again."""
    from rayfleet.local.supervisor.record import read_record

    reported: dict[str, int] = {}
    while not interrupted.is_set():
        if launched.process.poll() is not None:
            raise SettingsError(
                "the supervisor ended; the replicas go on without it",
                way_out="`rayfleet up` takes them back, `rayfleet down` ends them.",
            )
        record = read_record(launched.folders.record)
        for name, entry in (record.processes if record else {}).items():
            if entry.restarts > reported.get(name, 0):
                reported[name] = entry.restarts
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


def _served_model(fleet: ReadOnlyJson) -> str:
    from rayfleet.manifest.fleet import decode_fleet
    from rayfleet.planning.model_name import model_name

    return model_name(decode_fleet(fleet)) or ""


def _quickstart() -> list[Json]:
    from rayfleet.manifest.documents import load_documents

    text = (resources.files("rayfleet") / "deploy" / "quickstart.yaml").read_text(encoding="utf-8")
    return [document.raw for document in load_documents(text, "quickstart.yaml")]


def _size(path: Path) -> str:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return f"{sum(each.stat().st_size for each in files) / 2**20:.0f} MiB"
