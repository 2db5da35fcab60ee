"""Listings: the API server's own Table for people, the objects themselves for programs."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from rayfleet.cli.columns import columns
from rayfleet.cli.kinds import Reference, resource_named
from rayfleet.cli.target import Session
from rayfleet.kube.requests import collection_path, object_path, selector_query
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import ResourceType
from rayfleet.objects.meta import key_of, kind_of, name_of, namespace_of

_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


async def print_listing(
    session: Session, chosen: Sequence[Reference], *, selector: str = "", output: str = "table"
) -> None:
    """Print the objects that are named, and all of each kind without a name. Raises NotFound for a name."""
    if output in {"table", "wide"}:
        for resource, names in _by_kind(chosen):
            tables = [await _table(session, resource, name=name, selector=selector) for name in names]
            _print_tables(tables, resource, is_wide=output == "wide", has_namespace=session.is_everywhere)
        return
    items: list[ReadOnlyJson] = []
    for each in chosen:
        if each.name:
            key = session.key(each.resource, each.name)
            items.append(await session.client.get(each.resource, key.name, key.namespace))
        else:
            items += (await session.client.list(each.resource, session.list_namespace, label_selector=selector)).items
    click.echo(_rendered(items, output, is_single=len(chosen) == 1 and bool(chosen[0].name)))


async def watch_listing(session: Session, chosen: Reference, *, selector: str) -> None:
    """Print a row whenever an object changes, for ever; the columns are those of a table of one row."""
    from rayfleet.cli.watching import listed_then_changed
    from rayfleet.kube.client import ObjectList
    from rayfleet.kube.watching import WatchEventType

    fields = f"metadata.name={chosen.name}" if chosen.name else ""
    async for change in listed_then_changed(
        session.client, chosen.resource, session.list_namespace, label_selector=selector, field_selector=fields
    ):
        if isinstance(change, ObjectList):
            continue
        if change.type is WatchEventType.DELETED:
            click.echo(f"{name_of(change.object)}  deleted")
            continue
        table = await _row_now(session, chosen.resource, key_of(change.object))
        for row in table.get("rows", []):
            click.echo("  ".join(str(cell) for cell in row["cells"]))


def _by_kind(chosen: Sequence[Reference]) -> list[tuple[ResourceType, list[str]]]:
    """Return each kind once, in the order of its first mention, with its names ("" for all)."""
    kinds = {each.resource: None for each in chosen}
    return [(kind, [each.name for each in chosen if each.resource == kind]) for kind in kinds]


async def _row_now(session: Session, resource: ResourceType, key: ObjectKey) -> ReadOnlyJson:
    from rayfleet.kube.errors import NotFound

    try:
        return await _table_at(session, object_path(resource, key.name, key.namespace))
    except NotFound:
        return {}


async def _table(session: Session, resource: ResourceType, *, name: str = "", selector: str = "") -> ReadOnlyJson:
    if name:
        key = session.key(resource, name)
        return await _table_at(session, object_path(resource, key.name, key.namespace))
    query = selector_query(selector, "")
    return await _table_at(session, collection_path(resource, session.list_namespace), query)


async def _table_at(session: Session, path: str, query: Mapping[str, str] | None = None) -> ReadOnlyJson:
    table: Json = json.loads(await session.client.raw("GET", path, query=query, accept=_TABLE))
    return table


def _print_tables(
    tables: Sequence[ReadOnlyJson], resource: ResourceType, *, is_wide: bool, has_namespace: bool
) -> None:
    definitions = tables[0].get("columnDefinitions", [])
    shown = [index for index, column in enumerate(definitions) if is_wide or not column.get("priority")]
    head = [definitions[index]["name"].upper() for index in shown]
    rows = [[_cell(row["cells"][index]) for index in shown] for table in tables for row in table.get("rows") or []]
    if has_namespace and resource.is_namespaced:
        spaces = [namespace_of(row["object"]) for table in tables for row in table.get("rows") or []]
        head, rows = ["NAMESPACE", *head], [[space, *row] for space, row in zip(spaces, rows, strict=True)]
    if not rows:
        click.echo(f"No {resource.plural} found.", err=True)
        return
    print_columns([head, *rows])


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Print rows as columns three spaces apart; the last column is not padded."""
    for line in columns(rows):
        click.echo(line)


def _cell(value: Any) -> str:
    return "<none>" if value is None or value == "" else str(value)


def _rendered(items: Sequence[ReadOnlyJson], output: str, *, is_single: bool) -> str:
    if output == "name":
        return "\n".join(f"{resource_named(kind_of(item)).plural}/{name_of(item)}" for item in items)
    whole: Any = items[0] if is_single else {"apiVersion": "v1", "kind": "List", "items": list(items)}
    if output == "json":
        return json.dumps(whole, indent=2)
    import yaml

    return str(yaml.safe_dump(whole, sort_keys=False)).rstrip()
