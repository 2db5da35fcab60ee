"""``events``: what the controllers, KubeRay, the scheduler and the nodes say, of a fleet and all that it owns."""

import contextlib
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

import click

from rayfleet.cli.completing import objects_argument
from rayfleet.cli.durations import age
from rayfleet.cli.family import Family, family_of
from rayfleet.cli.kinds import Reference, fleet_names, named_references
from rayfleet.cli.target import Session, Target, run
from rayfleet.cli.target_options import target_options
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import EVENTS, FLEETS, PODS, RAY_CLUSTERS, REPLICA_SETS
from rayfleet.objects.events import EventFacts, by_age, decode_event
from rayfleet.objects.meta import namespace_of

_OWNED = (REPLICA_SETS, RAY_CLUSTERS, PODS)
_HEAD = ("LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE")


@click.command("events")
@objects_argument(metavar="[KIND/NAME]")
@click.option("-w", "--watch", is_flag=True, help="After the list, print every new one until Ctrl-C.")
@click.option("--types", default="", help="Only these types: Warning, Normal.")
@target_options
@run
async def events_command(what: tuple[str, ...], watch: bool, types: str, target: Target) -> None:
    """List events, oldest first: of the namespace, or of a fleet (or another object) and all that it owns.

    \b
    rayfleet events
    rayfleet events rcf/smollm2 -w
    rayfleet events -A --types Warning
    """
    asked = frozenset(word.strip().lower() for word in types.split(",") if word.strip())
    async with target.session() as session:
        chosen = _chosen(what)
        families = [await read_family(session, each) for each in chosen]
        listed = await session.client.list(EVENTS, session.list_namespace)
        events = _of(families, map(decode_event, listed.items), asked)
        _print_events(events, has_namespace=session.is_everywhere)
        if watch:
            await _watch(session, chosen, asked, events)


async def read_family(session: Session, reference: Reference) -> Family:
    """Return the family of an object. Raises NotFound."""
    key = session.key(reference.resource, reference.name)
    head = await session.client.get(reference.resource, key.name, key.namespace)
    others: list[ReadOnlyJson] = []
    for kind in _OWNED:
        others += (await session.client.list(kind, key.namespace or None)).items
    return family_of(head, namespace_of(head) or "default", others)


def event_rows(events: Iterable[EventFacts], now: datetime) -> list[list[str]]:
    """Return a row for each event, in the order given: how long ago, type, reason, object, message. Pure."""
    return [
        [
            age(event.last_seen, now) + (f" (x{event.count})" if event.count > 1 else ""),
            event.type,
            event.reason,
            f"{event.kind.lower()}/{event.name}",
            event.message.replace("\n", " "),
        ]
        for event in events
    ]


def _chosen(what: tuple[str, ...]) -> Sequence[Reference]:
    if len(what) == 1 and "/" not in what[0]:
        return [Reference(resource=FLEETS, name=name) for name in fleet_names(what, "events")]
    return named_references(what, "rayfleet events rcf/NAME") if what else ()


def _of(families: Sequence[Family], events: Iterable[EventFacts], types: frozenset[str]) -> list[EventFacts]:
    chosen = [event for event in events if not families or any(family.has(event) for family in families)]
    return by_age(event for event in chosen if not types or event.type.lower() in types)


def _print_events(events: Sequence[EventFacts], *, has_namespace: bool) -> None:
    from rayfleet.cli.tables import print_columns

    if not events:
        click.echo("No events.", err=True)
        return
    rows = [list(_HEAD), *event_rows(events, datetime.now(UTC))]
    if has_namespace:
        spaces = ["NAMESPACE", *(event.namespace for event in events)]
        rows = [[space, *row] for space, row in zip(spaces, rows, strict=True)]
    print_columns(rows)


async def _watch(
    session: Session, chosen: Sequence[Reference], types: frozenset[str], printed: Sequence[EventFacts]
) -> None:
    """Print each event that is new or was seen again; who belongs to the family is read anew when it may have grown."""
    from rayfleet.cli.watching import listed_then_changed
    from rayfleet.kube.client import ObjectList
    from rayfleet.kube.errors import NotFound

    known = set(printed)
    families = [await read_family(session, each) for each in chosen]
    async with aclosing(listed_then_changed(session.client, EVENTS, session.list_namespace)) as changes:
        async for change in changes:
            raw = change.items if isinstance(change, ObjectList) else (change.object,)
            fresh = [event for event in map(decode_event, raw) if event not in known]
            known.update(fresh)
            if chosen and fresh and not all(any(family.has(event) for family in families) for event in fresh):
                with contextlib.suppress(NotFound):  # deleted meanwhile: its last events still come
                    families = [await read_family(session, each) for each in chosen]
            for row in event_rows(_of(families, fresh, types), datetime.now(UTC)):
                click.echo("   ".join(row))
