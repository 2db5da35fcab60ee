"""The list of models: kept, and made anew only where a table changed (rayfleet_gateway.planes.python.own_routes)."""

import orjson

from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.planes.python.own_routes import ModelList
from rayfleet_gateway.route.match import Match
from rayfleet_gateway.route.table import Backend, RouteTable, Rule, table_of


def rule(model: str, *ports: int) -> Rule:
    endpoints = tuple(Endpoint(address="127.0.0.1", port=port) for port in ports)
    backend = Backend(service=f"default/{model}", weight=1, endpoints=endpoints)
    match = Match(path="/v1", headers={"model": model})
    return Rule(match=match, route=f"default/{model}", rank=(model,), backends=(backend,))


def listed(models: ModelList, table: RouteTable) -> dict[str, int]:
    page = orjson.loads(models.of(table))
    assert page["object"] == "list"
    return {each["id"]: each["ready_endpoints"] for each in page["data"]}


def test_the_list_follows_the_table() -> None:
    models = ModelList()
    assert listed(models, RouteTable()) == {}
    a, b = rule("a", 1), rule("b", 1, 2)
    assert listed(models, table_of(a, b)) == {"a": 1, "b": 2}
    assert listed(models, table_of(a, rule("b"), rule("c", 1))) == {"a": 1, "b": 0, "c": 1}
    assert listed(models, table_of(b)) == {"b": 2}


def test_a_page_is_made_once_for_a_table() -> None:
    models, table = ModelList(), table_of(rule("a", 1))
    assert models.of(table) is models.of(table)


def test_a_table_that_was_taken_before_is_listed_as_it_is_now() -> None:
    models = ModelList()
    first, second = table_of(rule("a", 1)), table_of(rule("a", 1, 2))
    assert listed(models, first) == {"a": 1}
    models.take(second)
    assert listed(models, second) == {"a": 2}
