"""Tables: the cells that kube-apiserver printed (``tests/data/apiserver/table-cases.json``) are those that we print."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rayfleet.local.apiserver.grammar.ages import human_duration
from rayfleet.local.apiserver.grammar.jsonpath import PathError, find_all, parse_jsonpath
from rayfleet.local.apiserver.kinds.builtin.printers import printers
from rayfleet.local.apiserver.kinds.custom.printer import column_printer
from rayfleet.model.json import Json, ReadOnlyJson

RECORDED = json.loads((Path(__file__).parents[2] / "data" / "apiserver" / "table-cases.json").read_text("utf-8"))[
    "tables"
]
ROWS = [(table, row) for table in RECORDED for row in table["rows"]]
NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize("table", RECORDED, ids=lambda table: table["kind"])
def test_the_columns_are_the_real_servers(table: ReadOnlyJson) -> None:
    columns = [column.definition() for column in printers()[table["kind"]].columns]
    names = ("name", "type", "format", "priority")
    assert [{name: column[name] for name in names} for column in columns] == table["columns"]


@pytest.mark.parametrize(
    ("table", "row"), ROWS, ids=[f"{t['kind']}-{r['object']['metadata']['name']}" for t, r in ROWS]
)
def test_the_cells_are_the_real_servers(table: ReadOnlyJson, row: ReadOnlyJson) -> None:
    cells = printers()[table["kind"]].cells(row["object"], datetime.fromisoformat(table["now"]))
    # The clock went on between the time noted and the answer: an age of some seconds may differ by one.
    ages = {index for index, column in enumerate(table["columns"]) if column["name"] == "Age"}
    assert len(cells) == len(table["columns"])
    for index, (cell, recorded) in enumerate(zip(cells, row["cells"], strict=True)):
        assert index in ages or cell == recorded


OBJECT: Json = {
    "metadata": {"name": "o", "creationTimestamp": "2026-01-01T00:00:00Z", "annotations": {"a.b/c": "x"}},
    "spec": {
        "hosts": ["a", "b"],
        "on": True,
        "size": 3,
        "share": 2,
        "map": {"k": 1},
        "when": "yesterday",
        "none": None,
    },
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Old", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("kind", "path", "cell"),
    [
        ("string", ".spec.size", "3"),
        ("string", ".spec.on", "true"),
        ("string", ".spec.hosts", '["a","b"]'),
        ("string", ".spec.hosts[*]", "a"),
        ("string", ".spec.hosts[1]", "b"),
        ("string", ".spec.hosts[7]", None),
        ("string", ".spec.map", '{"k":1}'),
        ("string", r".metadata.annotations.a\.b/c", "x"),
        ("string", ".metadata.annotations['a.b/c']", "x"),
        ("string", '.status.conditions[?(@.type=="Ready")].status', "True"),
        ("string", ".status.conditions[?(@.type=='Gone')].status", None),
        ("string", ".status.nothing", None),
        ("string", ".spec.none", None),
        ("integer", ".spec.size", 3),
        ("integer", ".spec.on", None),
        ("number", ".spec.share", 2.0),
        ("boolean", ".spec.on", True),
        ("boolean", ".spec.size", None),
        ("date", ".metadata.creationTimestamp", "24h"),
        ("date", ".spec.when", "<invalid>"),
        ("date", ".spec.size", None),
    ],
)
def test_a_printer_column_shows_what_lies_at_its_path(kind: str, path: str, cell: Any) -> None:
    printer = column_printer([{"name": "X", "type": kind, "jsonPath": path}])
    assert printer.cells(OBJECT, NOW) == ["o", cell]
    assert [column.name for column in printer.columns] == ["Name", "X"]


def test_without_columns_the_age_is_shown() -> None:
    printer = column_printer([])
    assert [column.name for column in printer.columns] == ["Name", "Age"]
    assert printer.cells(OBJECT, NOW) == ["o", "24h"]


@pytest.mark.parametrize("path", [".a[", ".a[?(@.b)", ".a]b"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(PathError):
        parse_jsonpath(path)


def test_a_filter_may_ask_for_another_value() -> None:
    steps = parse_jsonpath('.status.conditions[?(@.type!="Ready")].type')
    assert find_all(OBJECT, steps) == ["Old"]


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(seconds=-5), "<invalid>"),
        (timedelta(seconds=0), "0s"),
        (timedelta(seconds=119), "119s"),
        (timedelta(seconds=200), "3m20s"),
        (timedelta(minutes=10), "10m"),
        (timedelta(minutes=179), "179m"),
        (timedelta(hours=5, minutes=3), "5h3m"),
        (timedelta(hours=9), "9h"),
        (timedelta(days=2, hours=5), "2d5h"),
        (timedelta(days=9), "9d"),
        (timedelta(days=385), "385d"),
        (timedelta(days=2 * 365 + 20), "2y20d"),
        (timedelta(days=9 * 365), "9y"),
    ],
)
def test_an_age_has_two_parts_at_most(length: timedelta, text: str) -> None:
    assert human_duration(length) == text
