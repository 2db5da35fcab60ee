"""Structural schemas.

What kube-apiserver stored or answered (``tests/data/apiserver/schema-cases.json``) is what we do.
"""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from rayfleet.local.apiserver.grammar.formats import is_of_format
from rayfleet.local.apiserver.grammar.patterns import BadPatternError, check_pattern, has_match
from rayfleet.local.apiserver.schema.cel_rules import RuleSet
from rayfleet.local.apiserver.schema.pruning import prune
from rayfleet.local.apiserver.schema.schema_rules import schema_problems
from rayfleet.local.apiserver.schema.validation import problems_at, validate
from rayfleet.manifest.structural import with_defaults
from rayfleet.model.json import Json, ReadOnlyJson

DATA = Path(__file__).parents[2] / "data" / "apiserver"
RECORDED = json.loads((DATA / "schema-cases.json").read_text("utf-8"))
DEFINITIONS = json.loads((DATA / "definition-cases.json").read_text("utf-8"))["cases"]
SCHEMA: Json = RECORDED["schema"]


def probe(spec: Any) -> Json:
    return {"apiVersion": "x.example.com/v1", "kind": "Probe", "metadata": {"name": "p"}, "spec": spec}


@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda case: json.dumps(case["spec"])[:60])
def test_an_object_is_stored_or_refused_as_by_the_real_server(case: ReadOnlyJson) -> None:
    obj = probe(case["spec"])
    before = copy.deepcopy(obj)
    stored = with_defaults(prune(obj, SCHEMA)[0], SCHEMA)
    causes = [
        {"reason": each.reason, "message": each.message, "field": each.field} for each in validate(stored, SCHEMA)
    ]
    assert obj == before, "inputs are read-only"
    if "stored" in case:
        assert causes == []
        assert stored.get("spec") == case["stored"]
    else:
        assert sorted(causes, key=str) == sorted(case["causes"], key=str)


def test_pruned_fields_are_told_by_their_paths() -> None:
    spec = {
        "free": {"q": {"z": "a", "y": "b"}, "w": {"n": 1}},
        "unknown": {"a": 1},
        "map": [{"k": "a", "zz": 1}],
        "emb": {"kind": "X", "metadata": {"labels": {}}, "more": 1},
    }
    kept, paths = prune(probe(spec) | {"foo": 1}, SCHEMA)
    assert paths == ["foo", "spec.free.q.y", "spec.map[0].zz", "spec.unknown"]
    assert kept["metadata"] == {"name": "p"}
    assert kept["spec"] == {
        "free": {"q": {"z": "a"}, "w": {"n": 1}},
        "map": [{"k": "a"}],
        "emb": {"kind": "X", "metadata": {"labels": {}}, "more": 1},
    }


def test_what_lies_below_untyped_additional_properties_is_pruned() -> None:
    schema: Json = {"type": "object", "properties": {"m": {"type": "object", "additionalProperties": True}}}
    assert prune({"m": {"a": 1, "b": {"c": 2}}}, schema) == ({"m": {"a": 1, "b": {}}}, ["m.b.c"])


def test_the_result_shares_no_default_with_the_schema() -> None:
    schema: Json = {"type": "object", "properties": {"o": {"type": "object", "default": {"a": []}}}}
    with_defaults({}, schema)["o"]["a"].append(1)
    assert schema["properties"]["o"]["default"] == {"a": []}


@pytest.mark.parametrize(
    ("pattern", "text", "is_found"),
    [
        ("^a+$", "aa", True),
        ("^a+$", "aa\n", False),
        ("a$b", "a$b", False),
        (r"[$]", "$", True),
        (r"\$", "$", True),
        (r"^[[:alpha:]_]+\z", "ab_", True),
        (r"[[]", "[", True),
        (r"[]a]+", "]a", True),
        (r"^\d$", "٣", False),
        (r"(?m)^b$", "a\nb\nc", True),
        (r"^(?P<x>a|b)$", "b", True),
        (r"(?i)^a$", "A", True),
        (r"^(?i)a$", "A", True),
        (r"^\pL+$", "é", True),
    ],
)
def test_a_go_pattern_finds_what_go_finds(pattern: str, text: str, is_found: bool) -> None:
    assert has_match(pattern, text) is is_found


@pytest.mark.parametrize("pattern", ["(?=a)", "(?<!a)b", r"(a)\1", "[", "a**", r"\C", "[[:nope:]]", "a{1001}"])
def test_what_is_no_go_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(BadPatternError):
        check_pattern(pattern)


HOURS_FOR_BACKTRACKING = "^(a+)+$"


@pytest.mark.timeout(60)
def test_no_pattern_of_a_schema_holds_the_server_up() -> None:
    schema = {"type": "string", "pattern": HOURS_FOR_BACKTRACKING}
    assert [each.reason for each in problems_at("a" * 10_000 + "!", schema)] == ["FieldValueInvalid"]
    assert problems_at("a" * 10_000, schema) == []


@pytest.mark.timeout(60)
@pytest.mark.parametrize("rule", ["self.matches({})", "self.find({}) != ''", "self.findAll({}).size() > 0"])
def test_no_pattern_of_a_rule_holds_the_server_up(rule: str) -> None:
    schema = {"type": "string", "x-kubernetes-validations": [{"rule": rule.format(f"'{HOURS_FOR_BACKTRACKING}'")}]}
    rules = RuleSet({"type": "object", "properties": {"spec": schema}})
    assert rules.causes == ()
    assert len(rules.problems({"spec": "a" * 10_000 + "!"})) == 1
    assert rules.problems({"spec": "a" * 10_000}) == []


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("date-time", "2026-01-31T23:59:60.5+01:00", "2026-13-01T00:00:00Z"),
        ("date", "2024-02-29", "2023-02-29"),
        ("duration", "1h30m", "1 year"),
        ("duration", "22 ms", "h"),
        ("byte", "aGk=", "aGk"),
        ("uri", "https://x/y?z", "x y"),
        ("ipv6", "::1", "127.0.0.1"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("mac", "00:11:22:33:44:55", "00:11"),
        ("uuid4", "9b2b4c1e-5f0a-4b0a-8c7d-0123456789ab", "9b2b4c1e-5f0a-1b0a-8c7d-0123456789ab"),
        ("k8s-long-name", "a.b-c", "a..b"),
        ("hostname", "a.example.com", "a_b"),
    ],
)
def test_a_format_tells_right_from_wrong(name: str, right: str, wrong: str) -> None:
    assert is_of_format(right, name)
    assert not is_of_format(wrong, name)


@pytest.mark.parametrize("case", DEFINITIONS, ids=lambda case: json.dumps(case["schema"])[:70])
def test_a_definition_is_taken_or_refused_as_by_the_real_server(case: ReadOnlyJson) -> None:
    found = schema_problems(case["schema"], "spec.validation.openAPIV3Schema")
    causes = [{"reason": each.reason, "message": each.message, "field": each.field} for each in found]
    assert sorted(causes, key=str) == sorted(case["causes"], key=str)


def test_what_did_not_change_is_not_judged_again() -> None:
    old = probe({"need": "n", "s": 1, "set": ["a", "a"], "map": [{"k": "a", "p": "x"}]})
    same_flaws = probe(
        {"need": "n", "s": 1, "set": ["a", "a"], "map": [{"k": "b", "p": 1}, {"k": "a", "p": "x"}], "i": 1}
    )
    assert validate(same_flaws, SCHEMA, old) == []
    assert [each.field for each in validate(probe({"need": "n", "s": 2}), SCHEMA, old)] == ["spec.s"]
