"""``down``: end the cluster of this machine."""

import shutil

import click

from rayfleet.cli.settings import read_cli_settings
from rayfleet.cli.target import run
from rayfleet.local.folders import cluster_folders


@click.command("down")
@click.option("--name", default="default", show_default=True, help="Name of the cluster.")
@click.option("--forget", is_flag=True, help="Remove its state too: objects, logs, certificates.")
@run
async def down_command(name: str, forget: bool) -> None:
    """Shut the cluster of this machine down: no process, port or shared memory segment stays.

    Its objects stay in the state folder, and the next `rayfleet up` serves them again. Safe to repeat; also ends what a
    killed supervisor left.

    \b
    rayfleet down
    rayfleet down --name other --forget
    """
    from rayfleet.local.up.launch import stop

    folders = cluster_folders(read_cli_settings().state_home, name)
    was_there = await stop(folders)
    click.echo(f"cluster {name!r} is down" if was_there else f"cluster {name!r} was not running")
    if forget and folders.root.exists():
        shutil.rmtree(folders.root)
        click.echo(f"removed {folders.root}")
