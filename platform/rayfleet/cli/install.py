"""``install``: print what belongs on a Kubernetes cluster, for ``kubectl apply``; the Helm chart makes the same."""

import asyncio
from pathlib import Path
from typing import Any

import click

from rayfleet.cli.target import run
from rayfleet.model.errors import SettingsError


@click.command("install")
@click.option(
    "--values",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML with values, as for the Helm chart.",
)
@click.option("-n", "--namespace", default="rayfleet-system", show_default=True, help="Where it is installed.")
@click.option("--show-values", is_flag=True, help="Print every value with its default and meaning instead.")
@click.option("--no-crds", is_flag=True, help="Leave the definitions out; to remove all else.")
@run
async def install_command(file: Path | None, namespace: str, show_values: bool, no_crds: bool) -> None:
    """Print definitions, roles, controller and gateway as YAML.

    \b
    rayfleet install | kubectl apply --server-side -f -
    rayfleet install --show-values > values.yaml
    rayfleet install --values values.yaml | kubectl apply --server-side -f -
    rayfleet install --no-crds | kubectl delete -f -      fleets, and what they serve, stay
    """
    import yaml

    from rayfleet.deploy.install import install_objects
    from rayfleet.deploy.values import values_yaml

    if show_values:
        click.echo(values_yaml(), nl=False)
        return
    values = await asyncio.to_thread(_read, file) if file is not None else {}
    if no_crds:
        values = {**values, "crds": {"install": False}}
    click.echo(yaml.safe_dump_all(install_objects(values, namespace), sort_keys=False, width=120), nl=False)


def _read(file: Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"--values {file}: {error}") from error
    if values is not None and not isinstance(values, dict):
        raise SettingsError(f"--values {file}: is no mapping of values")
    return values or {}
