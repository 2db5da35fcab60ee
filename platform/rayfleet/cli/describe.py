"""``describe``: one object, what blocks it, its conditions and its events, in the order in which a person asks."""

from collections.abc import Iterable
from datetime import UTC, datetime

import click

from rayfleet.cli.advice import Blocker, blockers
from rayfleet.cli.columns import columns
from rayfleet.cli.completing import objects_argument
from rayfleet.cli.durations import age
from rayfleet.cli.events import event_rows, read_family
from rayfleet.cli.kinds import named_references
from rayfleet.cli.replicas import replica_rows
from rayfleet.cli.target import Target, run
from rayfleet.cli.target_options import target_options
from rayfleet.manifest.fleet import decode_fleet_status
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import EVENTS, FLEETS
from rayfleet.objects.conditions import conditions_of
from rayfleet.objects.events import EventFacts, by_age, decode_event
from rayfleet.objects.meta import created_at, key_of, kind_of, labels_of, name_of, namespace_of
from rayfleet.objects.owners import owners_of
from rayfleet.objects.parts import part
from rayfleet.objects.times import decode_time

_TOLD_APART = frozenset({"template", "conditions", "replicaStates"})
_MOST_EVENTS = 25


@click.command("describe")
@objects_argument(required=True, metavar="KIND/NAME")
@target_options
@run
async def describe_command(what: tuple[str, ...], target: Target) -> None:
    """Show objects with what blocks them and what to do, their conditions, replicas and events.

    The events are also those of all that an object owns: replica sets, Ray clusters, pods.

    \b
    rayfleet describe rcf/smollm2
    rayfleet describe pod/smollm2-5d8f-x2b7k-head
    """
    chosen = named_references(what, "rayfleet describe rcf/NAME")
    async with target.session() as session:
        for index, each in enumerate(chosen):
            key = session.key(each.resource, each.name)
            shown = await session.client.get(each.resource, key.name, key.namespace)
            family = await read_family(session, each)
            events = map(decode_event, (await session.client.list(EVENTS, key.namespace or None)).items)
            lines = described(shown, filter(family.has, events), datetime.now(UTC))
            click.echo("\n".join(([""] if index else []) + lines))


def described(shown: ReadOnlyJson, events: Iterable[EventFacts], now: datetime) -> list[str]:
    """Return the lines: identity, spec in short, status, conditions, replicas, what blocks, the newest events. Pure."""
    import yaml

    lines = [f"Name:       {name_of(shown)}", f"Namespace:  {namespace_of(shown) or '<none>'}"]
    lines += [f"Kind:       {kind_of(shown)}", f"Created:    {created_at(shown) or '<unknown>'}"]
    lines += [f"Labels:     {key}={value}" for key, value in sorted(labels_of(shown).items())]
    lines += [f"Owner:      {owner.kind}/{owner.name}" for owner in owners_of(shown)]
    for section in ("spec", "status"):
        content = {key: value for key, value in part(shown, section).items() if key not in _TOLD_APART}
        if content:
            text = str(yaml.safe_dump(content, sort_keys=False, default_flow_style=False)).rstrip()
            lines += [f"{section.capitalize()}:", *(f"  {line}" for line in text.splitlines())]
    rows = [_condition_row(entry, now) for entry in conditions_of(shown)]
    lines += _section("Conditions", [["TYPE", "STATUS", "REASON", "AGE", "MESSAGE"], *rows] if rows else [])
    status = decode_fleet_status(part(shown, "status"))  # a replica set's has the same states
    lines += _section("Replicas", replica_rows(status.replica_states, now))
    if kind_of(shown) == FLEETS.kind:
        lines += blocker_lines(blockers(key_of(shown), status))
    newest = by_age(events)[-_MOST_EVENTS:]
    head = ["AGE", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    return lines + (_section("Events", [head, *event_rows(newest, now)]) if newest else ["Events:  <none>"])


def blocker_lines(blocking: Iterable[Blocker], indent: str = "") -> list[str]:
    """Return what blocks and, below each, what to do; no line when nothing does. Pure."""
    lines = [line for each in blocking for line in (f"{indent}  ! {each}", f"{indent}    {each.advice}")]
    return [f"{indent}Blocked by:", *lines] if lines else []


def _section(title: str, rows: list[list[str]]) -> list[str]:
    return [f"{title}:", *columns(rows, "  ")] if rows else []


def _condition_row(entry: ReadOnlyJson, now: datetime) -> list[str]:
    since = age(decode_time(entry.get("lastTransitionTime")), now)
    names = ("type", "status", "reason")
    stated = [str(entry.get(name) or "-") for name in names]
    return [*stated, since, str(entry.get("message") or "")]
