"""Listings: the API server's own Table for people, the objects themselves for programs."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import ResourceType
from rayfleet.objects.meta import key_of, name_of, namespace_of, version_of

if TYPE_CHECKING:
    from rayfleet.kube.client import KubeClient

_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


async def print_listing(
    client: "KubeClient",
    resource: ResourceType,
    namespace: str,
    *,
    names: Sequence[str] = (),
    selector: str = "",
    output: str = "table",
) -> None:
    """Print the objects: all of the namespace ("" = every namespace), or those named. Raises NotFound for a name."""
    if output in {"table", "wide"}:
        tables = [await _table(client, resource, namespace, name=name, selector=selector) for name in names or ("",)]
        _print_tables(tables, resource, is_wide=output == "wide", has_namespace=not namespace)
        return
    items = (
        [await client.get(resource, name, namespace or "default") for name in names]
        if names
        else list((await client.list(resource, namespace or None, label_selector=selector)).items)
    )
    click.echo(_rendered(items, resource, output, is_single=len(names) == 1))


async def watch_listing(client: "KubeClient", resource: ResourceType, namespace: str, *, selector: str) -> None:
    """Print a row whenever an object changes, for ever; the columns are those of a table of one row."""
    version = (await client.list(resource, namespace or None, label_selector=selector)).resource_version
    while True:
        events = client.watch(resource, namespace or None, resource_version=version, label_selector=selector)
        async for event in events:
            version = version_of(event.object)
            if event.type == "BOOKMARK":
                continue
            if event.type == "DELETED":
                click.echo(f"{name_of(event.object)}  deleted")
                continue
            table = await _row_now(client, resource, key_of(event.object))
            for row in table.get("rows", []):
                click.echo("  ".join(str(cell) for cell in row["cells"]))


async def _row_now(client: "KubeClient", resource: ResourceType, key: ObjectKey) -> ReadOnlyJson:
    from rayfleet.kube.errors import NotFound

    try:
        return await _table(client, resource, key.namespace, name=key.name)
    except NotFound:
        return {}


async def _table(
    client: "KubeClient", resource: ResourceType, namespace: str, *, name: str = "", selector: str = ""
) -> ReadOnlyJson:
    scope = f"/namespaces/{quote(namespace)}" if resource.is_namespaced and namespace else ""
    path = f"{resource.base_path}{scope}/{resource.plural}" + (f"/{quote(name)}" if name else "")
    query = {"labelSelector": selector} if selector else {}
    table: Json = json.loads(await client.raw("GET", path, query=query, accept=_TABLE))
    return table


def _print_tables(
    tables: Sequence[ReadOnlyJson], resource: ResourceType, *, is_wide: bool, has_namespace: bool
) -> None:
    columns = tables[0].get("columnDefinitions", [])
    shown = [index for index, column in enumerate(columns) if is_wide or not column.get("priority")]
    head = [columns[index]["name"].upper() for index in shown]
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
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    for row in rows:
        click.echo("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    return "<none>" if value is None or value == "" else str(value)


def _rendered(items: Sequence[ReadOnlyJson], resource: ResourceType, output: str, *, is_single: bool) -> str:
    if output == "name":
        return "\n".join(f"{resource.plural}/{name_of(item)}" for item in items)
    whole: Any = items[0] if is_single else {"apiVersion": "v1", "kind": "List", "items": list(items)}
    if output == "json":
        return json.dumps(whole, indent=2)
    import yaml

    return str(yaml.safe_dump(whole, sort_keys=False)).rstrip()
