"""Routes from YAML files, and the last table on disk: with real files (rayfleet_gateway.state.files, last_table)."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rayfleet.model.errors import ManifestError
from rayfleet.model.resources import HTTP_ROUTES, SERVICES
from rayfleet.testing.waiting import until
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.route.table import RouteTable
from rayfleet_gateway.state.files import FileTables, read_files
from rayfleet_gateway.state.last_table import read_last_table, write_last_table
from rayfleet_gateway.state.sources import open_tables

ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: NAME}
spec:
  rules:
  - matches:
    - path: {type: PathPrefix, value: /v1}
      headers: [{name: model, value: NAME}]
    backendRefs: [{name: engines, port: 80}]
"""
ENGINES = """\
apiVersion: v1
kind: Service
metadata: {name: engines}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: engines-1, labels: {kubernetes.io/service-name: engines}}
addressType: IPv4
ports: [{name: http, port: 8000}]
endpoints: [{addresses: [127.0.0.1]}]
"""


def route(name: str) -> str:
    return ROUTE.replace("NAME", name)


def put(path: Path, text: str) -> None:
    """Write a file at once: a look at it sees all of it, or what was there before."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.rename(path)


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[tuple[FileTables, list[RouteTable]]]:
    tables = FileTables(path)
    heard: list[RouteTable] = []
    task = asyncio.create_task(tables.run(heard.append))
    try:
        await until(lambda: tables.is_synced or task.done(), "a table")
        yield tables, heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until_models(tables: FileTables, *models: str) -> None:
    await until(lambda: tables.table.models == models, f"the models {models}")


async def test_files_are_a_table_that_follows_them(tmp_path: Path) -> None:
    (tmp_path / "engines.yaml").write_text(ENGINES)
    (tmp_path / "a.yaml").write_text(route("a"))
    (tmp_path / "notes.txt").write_text("no manifest")
    async with running(tmp_path) as (tables, heard):
        assert tables.table.models == ("a",)
        assert [str(each) for each in tables.table.endpoints_of("a")] == ["127.0.0.1:8000"]
        put(tmp_path / "b.yml", route("b"))
        await until_models(tables, "a", "b")
        (tmp_path / "a.yaml").unlink()
        await until_models(tables, "b")
        assert heard[-1] is tables.table


async def test_a_broken_file_keeps_the_last_good_table_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(ENGINES + "---\n" + route("a"))
    async with running(file) as (tables, heard):
        good = tables.table
        with caplog.at_level(logging.ERROR):
            put(file, "kind: [\n")
            await until(lambda: len(caplog.records) == 1, "the fault is logged")
            await asyncio.sleep(1.5)  # longer than a look: it must not be said again
        assert len(caplog.records) == 1
        assert "all.yaml" in getattr(caplog.records[0], "error")  # noqa: B009 - a fact that logging put there
        assert (tables.table, len(heard)) == (good, 1)
        put(file, route("b"))
        await until_models(tables, "b")


async def test_a_field_that_cannot_be_used_is_told_with_its_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.yaml").write_text("\n\n" + route("a").replace("type: PathPrefix", "type: Prefix"))
    with caplog.at_level(logging.WARNING):
        async with running(tmp_path) as (tables, _):
            assert tables.table == RouteTable()
            assert tables.problem_reasons() == {"UnsupportedValue": 1}
            assert tables.effort.steps == 1
    [record] = caplog.records
    facts = vars(record)
    assert facts["place"] == f"{tmp_path / 'a.yaml'}:9"
    assert facts["problem"].startswith("HTTPRoute default/a: spec.rules[0].matches[0].path.type: 'Prefix'")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: [", "line 1, column 8"),
        ("a: 1\n", "apiVersion and kind"),
        (route("a").replace("HTTPRoute", "TCPRoute"), "all.yaml:2"),
        (route("a").replace("{name: a}", "{}"), "metadata.name"),
        (route("a") + "---\n" + route("a"), "the same object stands at"),
        (route("a").replace("{name: a}", "{name: a, labels: &x {x: *x}}"), "is no JSON"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "all.yaml").write_text(text)
    with pytest.raises(ManifestError) as caught:
        read_files(tmp_path)
    assert words in str(caught.value)
    assert "all.yaml" in str(caught.value)


async def test_the_settings_choose_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(route("a"))
    async with open_tables(GatewaySettings(config=tmp_path)) as tables:
        task = asyncio.create_task(tables.run(lambda _: None))
        await until(lambda: tables.is_synced, "a table")
        assert (tables.table.models, tables.is_stale) == (("a",), False)
        task.cancel()


def test_the_last_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    for name, text in (("engines.yaml", ENGINES), ("a.yaml", route("a"))):
        (tmp_path / name).write_text(text)
    documents = read_files(tmp_path)
    objects = [(resource, document.raw) for (resource, _), document in documents.items()]
    folder = tmp_path / "state"
    write_last_table(folder, objects)
    assert read_last_table(folder) == objects
    assert [path.name for path in folder.iterdir()] == ["last-table.jsonl"]


def test_a_last_table_that_cannot_be_read_counts_as_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read_last_table(tmp_path) is None
    assert caplog.records == []
    route_line = b'["HTTPRoute",{"metadata":{"name":"a"}}]\n'
    for text in (
        b"{",
        b"[1]",
        b'["Pod",{"metadata":{"name":"a"}}]',
        b'["HTTPRoute",{}]',
        route_line + b'["HTTPRoute",',
    ):
        (tmp_path / "last-table.jsonl").write_bytes(text)
        assert read_last_table(tmp_path) is None
    (tmp_path / "last-table.jsonl").write_bytes(route_line)
    assert read_last_table(tmp_path) == [(HTTP_ROUTES, {"metadata": {"name": "a"}})]


def test_a_folder_that_takes_no_file_is_told_and_nothing_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    write_last_table(tmp_path / "file" / "state", [(SERVICES, {})])
    assert [record.message for record in caplog.records] == ["the last table cannot be kept"]


async def test_true_is_another_weight_than_one(tmp_path: Path) -> None:
    """``True == 1`` in Python: the file that was put right was not seen to be another."""
    file = tmp_path / "all.yaml"
    weighted = route("a").replace("port: 80}", "port: 80, weight: true}")
    put(file, weighted + "---\n" + ENGINES)
    async with running(tmp_path) as (tables, _):
        assert tables.table.models == ()
        put(file, weighted.replace("weight: true", "weight: 1") + "---\n" + ENGINES)
        await until_models(tables, "a")
