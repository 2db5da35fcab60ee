"""``rollout``: watch the rollouts of fleets, look back, go back, hold and restart, with kubectl's words and options.

kubectl's own ``rollout`` knows built-in kinds only.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import click

from rayfleet.cli.completing import complete_fleets
from rayfleet.cli.durations import Duration
from rayfleet.cli.kinds import fleet_names
from rayfleet.cli.target import Session, Target, run
from rayfleet.cli.target_options import target_options
from rayfleet.model.errors import EnvironmentProblem, SettingsError
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import FLEETS, REPLICA_SETS
from rayfleet.objects.fleets import is_paused
from rayfleet.objects.labels import RESTARTED_ANNOTATION
from rayfleet.objects.meta import uid_of, version_of
from rayfleet.objects.owners import is_controlled_by
from rayfleet.objects.parts import part
from rayfleet.objects.times import encode_time

if TYPE_CHECKING:
    from rayfleet.cli.rollout_steps import RolloutStep
    from rayfleet.model.fleet import ReplicaSet

_ATTEMPTS = 5  # as `apply`
_WHAT = click.argument("what", nargs=-1, required=True, metavar="rcf/NAME", shell_complete=complete_fleets)


@click.group("rollout")
def rollout_command() -> None:
    """Watch the rollout of a fleet, look at its revisions, go back to one, hold it, restart it.

    \b
    rayfleet rollout status rcf/smollm2
    rayfleet rollout undo rcf/smollm2
    """


@rollout_command.command("status")
@_WHAT
@click.option("-w", "--watch/--no-watch", default=True, show_default=True, help="Wait until it is over.")
@click.option("--timeout", type=Duration(), default="0s", help="How long to wait at most. [default: for ever]")
@target_options
@run
async def status_command(what: tuple[str, ...], watch: bool, timeout: timedelta, target: Target) -> int:
    """Print each step of a rollout until it is over, and what keeps it from going on.

    Exit code 1: it failed (deadline exceeded, spec refused, rolled back), or is not over after --timeout.

    \b
    rayfleet rollout status rcf/smollm2 --timeout 10m
    rayfleet rollout status rcf/smollm2 --no-watch
    """
    async with target.session() as session:
        for name in fleet_names(what, "rollout status"):
            key = session.key(FLEETS, name)
            limit = timeout.total_seconds() or None
            step = await (_followed(session, key, limit) if watch else _looked(session, key))
            if step.is_failed:
                return 1
    return 0


@rollout_command.command("history")
@_WHAT
@click.option("--revision", type=click.IntRange(min=1), help="Show this revision in full.")
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", help="Form of --revision.")
@target_options
@run
async def history_command(what: tuple[str, ...], revision: int | None, output: str, target: Target) -> None:
    """List the revisions that a fleet keeps, or show one in full.

    The cause of a change is the annotation kubernetes.io/change-cause that the fleet had then.

    \b
    rayfleet rollout history rcf/smollm2
    rayfleet rollout history rcf/smollm2 --revision 2
    """
    from rayfleet.cli.history import history_rows, revision_in_full, revisions
    from rayfleet.cli.tables import print_columns

    async with target.session() as session:
        for name in fleet_names(what, "rollout history"):
            _, owned = await _fleet_with_revisions(session, name)
            kept = revisions(owned)
            if revision is None:
                print_columns(history_rows(kept, datetime.now(UTC)))
                continue
            chosen = next((each for each in kept if each.number == revision), None)
            if chosen is None:
                raise _not_kept(name, [each.number for each in kept], f"revision {revision} is not kept")
            click.echo(_text(revision_in_full(chosen), output))


@rollout_command.command("undo")
@_WHAT
@click.option("--to-revision", type=click.IntRange(min=0), default=0, help="Which one. [default: the one before]")
@click.option("--dry-run", is_flag=True, help="Only print the change that would be made to the fleet.")
@target_options
@run
async def undo_command(what: tuple[str, ...], to_revision: int, dry_run: bool, target: Target) -> None:
    """Write a kept revision's template (or spec.serving) back to the fleet, which then rolls out as any change does.

    \b
    rayfleet rollout undo rcf/smollm2
    rayfleet rollout undo rcf/smollm2 --to-revision 2 --dry-run
    """
    async with target.session() as session:
        for name in fleet_names(what, "rollout undo"):
            click.echo(await _until_written(partial(_undone, session, name, to_revision, is_dry=dry_run)))


@rollout_command.command("pause")
@_WHAT
@target_options
@run
async def pause_command(what: tuple[str, ...], target: Target) -> None:
    """Hold rollouts of a fleet: a changed template waits; scaling and recovery go on.

    \b
    rayfleet rollout pause rcf/smollm2
    """
    await _set_paused(what, target, is_held=True)


@rollout_command.command("resume")
@_WHAT
@target_options
@run
async def resume_command(what: tuple[str, ...], target: Target) -> None:
    """Let the rollouts of a paused fleet go on.

    \b
    rayfleet rollout resume rcf/smollm2
    """
    await _set_paused(what, target, is_held=False)


@rollout_command.command("restart")
@_WHAT
@target_options
@run
async def restart_command(what: tuple[str, ...], target: Target) -> None:
    """Make all Ray clusters of a fleet anew, as a rollout of the same template.

    Sets the annotation kubectl.kubernetes.io/restartedAt of the template, or spec.serving.restartedAt.

    \b
    rayfleet rollout restart rcf/smollm2
    """
    async with target.session() as session:
        for name in fleet_names(what, "rollout restart"):
            click.echo(await _until_written(partial(_restarted, session, name)))


async def _followed(session: Session, key: ObjectKey, limit_seconds: float | None) -> "RolloutStep":
    """Print the steps until the rollout is over or failed, and return the last one. Raises EnvironmentProblem."""
    from rayfleet.cli.rollout_steps import rollout_step
    from rayfleet.cli.watching import states_of
    from rayfleet.kube.errors import NotFound

    printed: list[str] = []
    step: RolloutStep | None = None
    try:
        async with asyncio.timeout(limit_seconds), aclosing(states_of(session.client, FLEETS, key)) as states:
            async for fleet in states:
                if fleet is None:
                    raise NotFound(f'fleet "{key.name}" is not there', code=404)
                step = rollout_step(fleet)
                _print_step(step, printed)
                if step.is_done or step.is_failed:
                    return step
    except TimeoutError:
        pass
    last = step.message if step is not None else "the API server did not answer"
    raise EnvironmentProblem(f"not over after {limit_seconds:g} s: {last}", way_out="Raise --timeout to wait longer.")


async def _looked(session: Session, key: ObjectKey) -> "RolloutStep":
    from rayfleet.cli.rollout_steps import rollout_step

    step = rollout_step(await session.client.get(FLEETS, key.name, key.namespace))
    _print_step(step, [])
    return step


def _print_step(step: "RolloutStep", printed: list[str]) -> None:
    """Print what was not printed by the step before; remember in ``printed``."""
    lines = [step.message] if not step.is_failed else [f"error: {step.message}"]
    for blocker in step.blockers:
        lines += [f"  ! {blocker}", f"    {blocker.advice}"]
    for line in lines:
        if line not in printed:
            click.echo(line, err=step.is_failed)
    printed[:] = lines


async def _until_written(change: Callable[[], Awaitable[str]]) -> str:
    """Return what ``change`` says, decided anew when somebody was quicker. Raises Conflict after some tries.

    A rollout's controllers write its status all the time.
    """
    from rayfleet.kube.errors import Conflict

    for _ in range(_ATTEMPTS - 1):
        with suppress(Conflict):
            return await change()
    return await change()


async def _undone(session: Session, name: str, to_revision: int, *, is_dry: bool) -> str:
    """Write a revision back, or only say how. Raises SettingsError when it is not kept, and Conflict."""
    from rayfleet.planning.fleet.rollback import RollbackOutcome, rollback_to

    fleet, owned = await _fleet_with_revisions(session, name)
    _refuse_paused(fleet, name, "rolled back")
    rollback = rollback_to(fleet, owned, to_revision)
    if rollback.outcome is RollbackOutcome.NOT_KEPT:
        raise _not_kept(name, _numbers(owned), rollback.message)
    if rollback.outcome is RollbackOutcome.UNCHANGED:
        return f"{FLEETS.plural}/{name} skipped: {rollback.message}"
    done = f"{FLEETS.plural}/{name} rolled back to revision {rollback.revision}"
    if is_dry:
        return f"{_text(rollback.patch, 'yaml')}\n{done} (dry run)"
    await _patch(session, name, fleet, rollback.patch)
    return done


async def _restarted(session: Session, name: str) -> str:
    """Write the time of a restart. Raises SettingsError when the fleet is paused, and Conflict."""
    key = session.key(FLEETS, name)
    fleet = await session.client.get(FLEETS, key.name, key.namespace)
    _refuse_paused(fleet, name, "restarted")
    now = encode_time(datetime.now(UTC))
    source: Json = {"template": {"metadata": {"annotations": {RESTARTED_ANNOTATION: now}}}}
    if part(fleet, "spec", "serving"):
        source = {"serving": {"restartedAt": now}}
    await _patch(session, name, fleet, {"spec": source})
    return f"{FLEETS.plural}/{name} restarted"


async def _fleet_with_revisions(session: Session, name: str) -> "tuple[Json, list[ReplicaSet]]":
    from rayfleet.manifest.replica_set import decode_replica_set

    key = session.key(FLEETS, name)
    fleet = await session.client.get(FLEETS, key.name, key.namespace)
    replica_sets = (await session.client.list(REPLICA_SETS, key.namespace)).items
    return fleet, [decode_replica_set(each) for each in replica_sets if is_controlled_by(each, uid_of(fleet))]


async def _set_paused(what: tuple[str, ...], target: Target, *, is_held: bool) -> None:
    word = "paused" if is_held else "resumed"
    command = "rollout pause" if is_held else "rollout resume"
    async with target.session() as session:
        for name in fleet_names(what, command):
            key = session.key(FLEETS, name)
            fleet = await session.client.get(FLEETS, key.name, key.namespace)
            if is_paused(fleet) is is_held:
                state = "already paused" if is_held else "not paused"
                raise SettingsError(
                    f"fleet {name} is {state}", way_out=f"`rayfleet rollout status rcf/{name}` shows it."
                )
            await session.client.patch(FLEETS, key, {"spec": {"paused": is_held}})
            click.echo(f"{FLEETS.plural}/{name} {word}")


async def _patch(session: Session, name: str, fleet: ReadOnlyJson, patch: ReadOnlyJson) -> None:
    """Write a change that was decided on ``fleet``. Raises Conflict when somebody changed the fleet since."""
    meta = {**part(patch, "metadata"), "resourceVersion": version_of(fleet)}
    await session.client.patch(FLEETS, session.key(FLEETS, name), {**patch, "metadata": meta})


def _refuse_paused(fleet: ReadOnlyJson, name: str, word: str) -> None:
    if is_paused(fleet):
        raise SettingsError(
            f"fleet {name} is paused and cannot be {word}", way_out=f"First: `rayfleet rollout resume rcf/{name}`."
        )


def _numbers(owned: "list[ReplicaSet]") -> list[int]:
    from rayfleet.planning.fleet.members import revision_of

    return sorted(map(revision_of, owned))


def _not_kept(name: str, numbers: list[int], message: str) -> SettingsError:
    kept = ", ".join(map(str, numbers)) or "none"
    way_out = f"Kept: {kept}. `rayfleet rollout history rcf/{name}` shows them."
    return SettingsError(f"fleet {name}: {message}", way_out=way_out)


def _text(value: ReadOnlyJson, output: str) -> str:
    if output == "json":
        return json.dumps(value, indent=2)
    import yaml

    return str(yaml.safe_dump(dict(value), sort_keys=False)).rstrip()
