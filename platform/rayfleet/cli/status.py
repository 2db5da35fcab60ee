"""``status``: processes, fleets, replicas, and what keeps them from being ready."""

import asyncio
from datetime import UTC, datetime

import click

from rayfleet.cli.advice import blockers
from rayfleet.cli.columns import columns
from rayfleet.cli.describe import blocker_lines
from rayfleet.cli.replicas import replica_rows
from rayfleet.cli.tables import print_columns
from rayfleet.cli.target import Target, run
from rayfleet.cli.target_options import target_options
from rayfleet.local.supervisor.record import Record, read_record
from rayfleet.local.up.fleet_progress import FleetProgress, fleet_progress
from rayfleet.manifest.fleet import decode_fleet_status
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import FLEETS, PODS, RAY_CLUSTERS
from rayfleet.objects.meta import key_of
from rayfleet.objects.parts import part


@click.command("status")
@target_options
@run
async def status_command(target: Target) -> int:
    """Show processes, fleets, replicas, what keeps them from being ready and what to do.

    Exit code 1 unless all is well.

    \b
    rayfleet status
    rayfleet status -A
    """
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
    if not fleets:
        where = "any namespace" if namespace is None else f"namespace {namespace}"
        click.echo(f"no fleet in {where}; `rayfleet apply -f fleet.yaml` makes one", err=True)
    is_well = True
    for fleet in fleets:
        progress = fleet_progress(fleet, clusters, pods)
        lines = fleet_lines(fleet, progress, datetime.now(UTC))
        click.echo("\n".join(lines))
        is_well = is_well and progress.is_complete and not any(line.startswith("  ! ") for line in lines)
    return 0 if is_well else 1


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


def fleet_lines(fleet: ReadOnlyJson, progress: FleetProgress, now: datetime) -> list[str]:
    """Return how far a fleet is, its replicas, what blocks it and what to do. Pure.

    Troubles of pods come beside, for those that its status does not tell of (yet).
    """
    key, status = key_of(fleet), decode_fleet_status(part(fleet, "status"))
    phase = f", {status.phase}" if status.phase else ""
    replicas = f"{progress.replicas_ready}/{progress.replicas_expected} replicas ready"
    lines = [f"fleet {key}: {replicas}, {progress.nodes_up}/{progress.nodes_expected} Ray nodes up{phase}"]
    blocking = blockers(key, status)
    lines += columns(replica_rows(status.replica_states, now), "  ")
    lines += blocker_lines(blocking)[1:]
    subjects = {each.subject.partition(",")[0] for each in blocking}
    for trouble in progress.troubles:
        if trouble.subject.partition(",")[0] not in subjects:
            lines.append(f"  ! {trouble}")
    return lines
