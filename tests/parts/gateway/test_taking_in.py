"""A table of many models is taken in by parts, while the last one serves."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from rayfleet.testing.waiting import until
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.route.table import RouteTable
from rayfleet_gateway.state.files import FileTables
from rayfleet_gateway.testing import FixedTable, gateway_of, table_for

MODELS = 400
ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: NAME}
spec:
  rules:
  - matches: [{path: {type: PathPrefix, value: PATH}, headers: [{name: model, value: NAME}]}]
    backendRefs: [{name: engines, port: 80}]
---
"""


def routes(path: str) -> str:
    return "".join(ROUTE.replace("NAME", f"m{number}").replace("PATH", path) for number in range(MODELS))


async def test_files_that_change_are_taken_in_by_parts_too(tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(routes("/v1/completions"), encoding="utf-8")
    tables = FileTables(file)
    parts: list[tuple[RouteTable, RouteTable]] = []
    task = asyncio.create_task(tables.run(lambda _: None, lambda part: parts.append((part, tables.table))))
    try:
        await until(lambda: tables.is_synced, "a table")
        first = tables.table
        parts.clear()
        changed_file = tmp_path / "routes.new"
        changed_file.write_text(routes("/v1/chat/completions"), encoding="utf-8")
        changed_file.rename(file)  # at once: a look at half of it would be another table
        await until(lambda: tables.table is not first, "another table")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [served for _, served in parts] == [first] * len(parts)
    assert len(parts) > 2
    changed = [sum(part.by_model[model] is not first.by_model[model] for model in first.models) for part, _ in parts]
    assert changed == sorted(changed)
    assert 0 < changed[0] < MODELS


class InParts(FixedTable):
    """Tells its table as a part first; ``look`` is asked after each time."""

    look: Callable[[], int] = int
    seen: tuple[int, ...] = ()

    async def run(
        self, on_table: Callable[[RouteTable], None], on_part: Callable[[RouteTable], None] = lambda _: None
    ) -> None:
        for tell in (on_part, on_table):
            tell(self.table)
            self.seen += (self.look(),)
        await asyncio.Event().wait()


async def test_the_gateway_knows_the_endpoints_of_a_part_before_its_table_comes() -> None:
    source = InParts(table_for("m", Endpoint(address="127.0.0.1", port=9)))
    gateway = gateway_of(GatewaySettings(port=0, admin_port=0), source)
    source.look = lambda: len(gateway.book.states())
    hurry = asyncio.Event()
    hurry.set()
    await gateway.start()
    try:
        await until(lambda: len(source.seen) == 2, "a table")
    finally:
        await gateway.drain(hurry, asyncio.Event())
    assert source.seen == (1, 1)
