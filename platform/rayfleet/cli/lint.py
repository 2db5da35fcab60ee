"""``lint``: look at manifests before they are sent. Needs no API server."""

import asyncio
import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rayfleet.cli.manifest_files import FILES, read_documents
from rayfleet.cli.target import run

if TYPE_CHECKING:
    from rayfleet.manifest.documents import Document
    from rayfleet.plugin.split_check import Shape
    from rayfleet.preflight.linting import Located


@click.command("lint")
@FILES
@click.option("-n", "--namespace", default="default", show_default=True, help="Of objects that name none.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Form of the findings.",
)
@click.option("--strict", is_flag=True, help="Fail on warnings too.")
@run
async def lint_command(files: tuple[str, ...], namespace: str, output: str, strict: bool) -> int:
    """Say what in manifests will not work, or hardly as it is meant, and the way out. Needs no cluster.

    All documents are read together: a Service that hits workers, a route without its ReferenceGrant, an engine whose
    parallelism does not fit the accelerators, two processes on one port, a misspelt field of the RayCluster, what
    KubeRay would refuse without a word. The word in parentheses is the rule; docs/preflight.md has them all.

    Exit code 1: there are errors (with --strict: or warnings).

    \b
    rayfleet lint -f fleet.yaml
    rayfleet lint -f manifests/ --strict -o json
    """
    documents = await asyncio.to_thread(read_documents, files)
    located = await asyncio.to_thread(findings_of, documents, namespace)
    if output == "json":
        click.echo(json.dumps([_encoded(each) for each in located], indent=2))
    else:
        click.echo("".join(f"{line}\n" for line in lines_of(located)), nl=False)
    errors = sum(_is_error(each) for each in located)
    warnings = len(located) - errors
    counted = f"{_counted(errors, 'error')}, {_counted(warnings, 'warning')} in {_counted(len(documents), 'document')}"
    click.echo(counted, err=True)
    return 1 if errors or (strict and warnings) else 0


def findings_of(documents: Sequence["Document"], namespace: str) -> tuple["Located", ...]:
    """Return what the rules say of documents that would be sent to ``namespace`` where they name none."""
    from rayfleet.plugin.registry import load
    from rayfleet.plugin.settings import read_plugin_settings
    from rayfleet.preflight.documents import in_namespace
    from rayfleet.preflight.linting import lint, model_folders

    placed = [replace(each, raw=in_namespace(each.raw, namespace)) for each in documents]
    plugins = load(disabled=read_plugin_settings().disabled)
    return lint(placed, plugins, _shapes(model_folders(placed, plugins.command_readers.values())))


def _shapes(models: Iterable[str]) -> Mapping[str, "Shape"]:
    """Return the shapes of models whose folders are on this machine; what cannot be read is not known."""
    from rayfleet.plugin.reference import split_reference
    from rayfleet.plugin.split_check import shape_of

    shapes = {}
    for model in models:
        with contextlib.suppress(OSError, ValueError):
            config = json.loads((Path(split_reference(model).rest) / "config.json").read_text(encoding="utf-8"))
            if isinstance(config, dict):
                shapes[model] = shape_of(config)
    return shapes


def lines_of(located: Iterable["Located"]) -> list[str]:
    """Return a line for each finding: ``FILE:LINE: error: KIND NAMESPACE/NAME, PATH: MESSAGE (RULE)``."""
    from rayfleet.preflight.documents import spoken

    return [
        f"{each.document.source}:{each.document.line_of(each.finding.path)}: {each.finding.severity}:"
        f" {spoken(each.document.raw)}, {each.finding.path}: {each.finding.message} ({each.finding.rule})"
        for each in located
    ]


async def print_findings(documents: Sequence["Document"], namespace: str) -> None:
    """Print what is to be said of documents that are about to be sent, a line each, to stderr."""
    for line in lines_of(await asyncio.to_thread(findings_of, documents, namespace)):
        click.echo(line, err=True)


def _encoded(located: "Located") -> dict[str, object]:
    from rayfleet.objects.meta import kind_of, name_of
    from rayfleet.preflight.documents import namespace_of

    raw, finding = located.document.raw, located.finding
    return {
        "file": located.document.source,
        "line": located.document.line_of(finding.path),
        "kind": kind_of(raw),
        "namespace": namespace_of(raw),
        "name": name_of(raw),
        "severity": finding.severity.value,
        "rule": finding.rule,
        "path": finding.path,
        "message": finding.message,
    }


def _is_error(located: "Located") -> bool:
    from rayfleet.preflight.findings import Severity

    return located.finding.severity is Severity.ERROR


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
