"""``describe``: one object, its conditions and its events, in the order in which a person asks."""

from collections.abc import Iterable
from datetime import UTC, datetime

import click

from rayfleet.cli.kinds import split_reference
from rayfleet.cli.target import Target, run, target_options
from rayfleet.model.errors import SettingsError
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import EVENTS
from rayfleet.objects.conditions import conditions_of
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
    resource, names = split_reference(what)
    if not names:
        raise SettingsError(
            f"name one of the {resource.plural}", way_out=f"`rayfleet get {resource.plural}` lists them."
        )
    async with target.client() as client:
        for name in names:
            shown = await client.get(resource, name, target.namespace if resource.is_namespaced else None)
            selector = f"involvedObject.uid={uid_of(shown)}"
            events = await client.list(EVENTS, target.namespace or None, field_selector=selector)
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
    rows = [_event_line(event, now) for event in sorted(events, key=_last_seen)]
    return [*lines, "Events:", *(rows or ["  <none>"])]


def age(since: str | None, now: datetime) -> str:
    """Return how long ago in kubectl's short form: ``5s``, ``12m``, ``3h``, ``2d``; ``<unknown>`` without a time."""
    moment = decode_time(since)
    if moment is None:
        return "<unknown>"
    seconds = max(0, int((now - moment).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _condition_line(entry: ReadOnlyJson, now: datetime) -> str:
    since = age(entry.get("lastTransitionTime"), now)
    stated = f"{entry['type']}={entry['status']}  {entry.get('reason', '')}"
    return f"  {stated}  ({since})  {entry.get('message', '')}".rstrip()


def _event_line(event: ReadOnlyJson, now: datetime) -> str:
    count = event.get("count") or 1
    times = f" x{count}" if count > 1 else ""
    since = age(_last_seen(event) or None, now)
    return f"  {since:>9}{times}  {event.get('type')}  {event.get('reason')}  {event.get('message', '')}"


def _last_seen(event: ReadOnlyJson) -> str:
    return str(
        event.get("lastTimestamp") or event.get("eventTime") or part(event, "metadata").get("creationTimestamp") or ""
    )
