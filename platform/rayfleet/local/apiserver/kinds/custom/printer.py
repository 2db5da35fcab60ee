"""Tables of custom resources: the columns that the definition names, after the name. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from rayfleet.local.apiserver.grammar.ages import age_since
from rayfleet.local.apiserver.grammar.jsonpath import Step, find_all, parse_jsonpath
from rayfleet.local.apiserver.kinds.kind import Column, Printer
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.times import decode_time

_NAME = Column(name="Name", type="string", format="name", description="Name must be unique within a namespace.")
_AGE: Json = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def column_printer(columns: Sequence[ReadOnlyJson]) -> Printer:
    """Return the printer for ``additionalPrinterColumns``; without any, the age is shown. Raises PathError."""
    chosen = list(columns) or [_AGE]
    paths = [(parse_jsonpath(each["jsonPath"]), each["type"]) for each in chosen]
    shown = [
        Column(
            name=each["name"],
            type=each["type"],
            format=each.get("format", ""),
            description=each.get("description")
            or f"Custom resource definition column (in JSONPath format): {each['jsonPath']}",
            priority=each.get("priority", 0),
        )
        for each in chosen
    ]

    def cells(manifest: ReadOnlyJson, now: datetime) -> list[object]:
        return [manifest["metadata"]["name"], *(_cell(manifest, path, kind, now) for path, kind in paths)]

    return Printer(columns=(_NAME, *shown), cells=cells)


def _cell(manifest: ReadOnlyJson, path: tuple[Step, ...], kind: str, now: datetime) -> object:
    """Return the cell for the first thing found, as the API server does; nothing for a value of another type."""
    values = find_all(manifest, path)
    value = values[0] if values else None
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case "date":
            return _age(value, now)
        case "integer":
            return int(value) if is_number else None
        case "number":
            return float(value) if is_number else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case _:
            return _text(value)


def _age(value: object, now: datetime) -> str | None:
    if not isinstance(value, str):
        return None
    return age_since(value, now) if decode_time(value) else "<invalid>"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
