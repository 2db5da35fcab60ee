"""``status``: processes, fleets, replicas, and what keeps them from being ready."""

import asyncio
from collections.abc import Sequence

import click

from rayfleet.cli.tables import print_columns
from rayfleet.cli.target import Target, run, target_options
from rayfleet.local.supervisor.record import Record, read_record
from rayfleet.local.up.fleet_progress import fleet_progress
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import FLEETS, PODS, RAY_CLUSTERS
from rayfleet.objects.meta import key_of


@click.command("status")
@target_options
@run
async def status_command(target: Target) -> int:
    """Show processes, fleets, replicas and what keeps them from being ready; exit code 1 when something is wrong."""
    folders = await target.local_folders()
    if folders is not None:
        record = await asyncio.to_thread(read_record, folders.record)
        _print_processes(folders.root.name, record)
        if record is None or not record.supervisor.is_alive():
            return 1
    async with target.session() as session:
        client, namespace = session.client, session.list_namespace
        fleets = (await client.list(FLEETS, namespace)).items
        clusters = (await client.list(RAY_CLUSTERS, namespace)).items
        pods = (await client.list(PODS, namespace)).items
    return max([_print_fleet(fleet, clusters, pods) for fleet in fleets], default=0)


def _print_processes(name: str, record: Record | None) -> None:
    if record is None:
        click.echo(f"cluster {name!r} does not run; start it with `rayfleet up`.")
        return
    state = "running" if record.supervisor.is_alive() else "supervisor gone; `rayfleet up` takes over"
    click.echo(f"cluster {name!r}: {state}, gateway {record.gateway_url}/v1")
    rows = [["  PROCESS", "PID", "STATE", "RESTARTS", "LAST END"]]
    for process, entry in record.processes.items():
        state = "running" if entry.identity.is_alive() else "down"
        rows.append([f"  {process}", str(entry.identity.pid), state, str(entry.restarts), entry.last_exit or "-"])
    print_columns(rows)


def _print_fleet(fleet: ReadOnlyJson, clusters: Sequence[ReadOnlyJson], pods: Sequence[ReadOnlyJson]) -> int:
    progress = fleet_progress(fleet, clusters, pods)
    click.echo(
        f"fleet {key_of(fleet)}: "
        f"{progress.replicas_ready}/{progress.replicas_expected} replicas ready, "
        f"{progress.nodes_up}/{progress.nodes_expected} Ray nodes up"
    )
    for trouble in progress.troubles:
        click.echo(f"  ! {trouble}")
    return 1 if progress.troubles or not progress.is_complete else 0
