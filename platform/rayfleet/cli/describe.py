"""``describe``: one object, its conditions and its events, in the order in which a person asks."""

from collections.abc import Iterable
from datetime import UTC, datetime

import click

from rayfleet.cli.durations import age
from rayfleet.cli.kinds import named_references
from rayfleet.cli.target import Target, run, target_options
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import EVENTS
from rayfleet.objects.conditions import conditions_of
from rayfleet.objects.events import EventFacts, by_age, decode_event
from rayfleet.objects.meta import labels_of, name_of, namespace_of, uid_of
from rayfleet.objects.owners import owners_of
from rayfleet.objects.parts import part
from rayfleet.objects.times import decode_time


@click.command("describe")
@click.argument("what", nargs=-1, required=True, metavar="KIND/NAME")
@target_options
@run
async def describe_command(what: tuple[str, ...], target: Target) -> None:
    """Show one object with its conditions and events.

    \b
    rayfleet describe rcf/smollm2
    """
    chosen = named_references(what, "rayfleet describe rcf/NAME")
    async with target.session() as session:
        for each in chosen:
            key = session.key(each.resource, each.name)
            shown = await session.client.get(each.resource, key.name, key.namespace)
            selector = f"involvedObject.uid={uid_of(shown)}"
            events = await session.client.list(EVENTS, key.namespace or None, field_selector=selector)
            click.echo("\n".join(described(shown, events.items, datetime.now(UTC))))


def described(shown: ReadOnlyJson, events: Iterable[ReadOnlyJson], now: datetime) -> list[str]:
    """Return the lines: identity, spec in short, status, conditions, events (oldest first). Pure."""
    import yaml

    lines = [f"Name:       {name_of(shown)}", f"Namespace:  {namespace_of(shown) or '<none>'}"]
    lines += [f"Kind:       {shown['kind']}", f"Created:    {part(shown, 'metadata').get('creationTimestamp')}"]
    lines += [f"Labels:     {key}={value}" for key, value in sorted(labels_of(shown).items())]
    lines += [f"Owner:      {owner.kind}/{owner.name}" for owner in owners_of(shown)]
    for section in ("spec", "status"):
        content = {key: value for key, value in part(shown, section).items() if key not in {"template", "conditions"}}
        if content:
            text = str(yaml.safe_dump(content, sort_keys=False, default_flow_style=False)).rstrip()
            lines += [f"{section.capitalize()}:", *(f"  {line}" for line in text.splitlines())]
    conditions = conditions_of(shown)
    if conditions:
        lines += ["Conditions:", *(_condition_line(entry, now) for entry in conditions)]
    rows = [_event_line(event, now) for event in by_age(map(decode_event, events))]
    return [*lines, "Events:", *(rows or ["  <none>"])]


def _condition_line(entry: ReadOnlyJson, now: datetime) -> str:
    since = age(decode_time(entry.get("lastTransitionTime")), now)
    stated = f"{entry['type']}={entry['status']}  {entry.get('reason', '')}"
    return f"  {stated}  ({since})  {entry.get('message', '')}".rstrip()


def _event_line(event: EventFacts, now: datetime) -> str:
    times = f" x{event.count}" if event.count > 1 else ""
    return f"  {age(event.last_seen, now):>9}{times}  {event.type}  {event.reason}  {event.message}"
