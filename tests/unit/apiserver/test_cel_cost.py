"""How many steps a rule's loops take, before it runs."""

import pytest

from rayfleet.local.apiserver.schema.cel_cost import Loop, is_too_costly, loops_of
from rayfleet.local.apiserver.schema.cel_rules import RuleSet
from rayfleet.model.json import Json

NESTED = "self.items.all(a, self.items.all(b, self.items.all(c, a + b + c >= 0)))"


@pytest.mark.parametrize(
    ("rule", "loops"),
    [
        ("self.a == 'x.all(y, z)' || size(self.list) > (3)", ()),
        (
            "self.spec.list.all(x, x > 0) && self.exists(k, self[k].map(y, y) == [])",
            (
                Loop("list"),
                Loop("", (Loop(None),)),
            ),
        ),
        (NESTED, (Loop("items", (Loop("items", (Loop("items"),)),)),)),
        ("oldSelf.filter(x, x.?tags . exists ( t , t == '' )).all(x, true)", (Loop("", (Loop("tags"),)), Loop(None))),
        ("[self.a.all(x, true)].exists(p, p)", (Loop("a"), Loop(None))),
    ],
)
def test_loops_are_read_with_what_they_go_through(rule: str, loops: tuple[Loop, ...]) -> None:
    assert loops_of(rule) == loops


@pytest.mark.parametrize(
    ("loop", "value", "is_too_long"),
    [
        (Loop("a"), {"a": [0] * 100_000}, False),
        (Loop("a"), {"a": [0] * 300_000}, True),
        (Loop("a", (Loop("a"),)), {"a": [0] * 1_000, "b": [0] * 10}, True),
        (Loop("b", (Loop("b"),)), {"a": [0] * 1_000, "b": [0] * 10}, False),
        (Loop("b", (Loop(None),)), {"a": [0] * 100_000, "b": [0] * 10}, True),
        (Loop("", (Loop("a"),)), [{"a": [0] * 1_000}, *[{}] * 999], True),
        (Loop(""), 5, False),
    ],
)
def test_steps_multiply_where_loops_are_nested(loop: Loop, value: Json, is_too_long: bool) -> None:
    assert is_too_costly([loop], value) is is_too_long


def test_a_rule_that_would_take_too_long_is_not_run_and_neither_is_what_follows() -> None:
    items = {"type": "array", "items": {"type": "integer"}, "maxItems": 80}
    last = {"type": "string", "x-kubernetes-validations": [{"rule": "false"}]}
    spec = {
        "type": "object",
        "properties": {"items": items, "last": last},
        "x-kubernetes-validations": [{"rule": NESTED}],
    }
    rules = RuleSet({"type": "object", "properties": {"spec": spec}})
    [cause] = rules.problems({"spec": {"items": [1] * 80, "last": "x"}})
    assert (cause.field, "call cost exceeds limit for rule" in cause.message) == ("spec", True)
    [cause] = rules.problems({"spec": {"items": [1] * 10, "last": "x"}})
    assert cause.field == "spec.last"
