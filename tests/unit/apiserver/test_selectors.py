"""Selectors of the embedded API server; messages as kube-apiserver 1.36 gave them."""

import pytest

from rayfleet.local.apiserver.grammar.label_grammar import label_key_problem, label_value_problem
from rayfleet.local.apiserver.kinds.builtin.catalogue import builtin_kinds
from rayfleet.local.apiserver.kinds.custom.definition import kinds_of
from rayfleet.local.apiserver.kinds.kind import Kind
from rayfleet.local.apiserver.kinds.metadata_fields import MetadataFields
from rayfleet.local.apiserver.kinds.schemas import load_schemas
from rayfleet.local.apiserver.reads.selection import BadSelector, parse_field_selector, parse_label_selector
from rayfleet.model.json import Json, ReadOnlyJson

SCHEMAS = load_schemas()
LABELS_OF = {kind.kind: kind.field_labels for kind in builtin_kinds(SCHEMAS, list)}
LABELS = {"app": "web", "tier": "", "example.com/size": "12"}


@pytest.mark.parametrize(
    ("text", "is_selected"),
    [
        ("", True),
        ("app", True),
        ("!app", False),
        ("!zone", True),
        ("app=web", True),
        (" app == web ", True),
        ("app!=web", False),
        ("zone!=a", True),
        ("app in (web,db)", True),
        ("app in (db, )", False),
        ("tier in ()", True),
        ("tier=", True),
        ("app in (in,web)", True),
        ("app notin (web)", False),
        ("zone notin (a)", True),
        ("app=web,tier,!zone", True),
        ("app=web,zone", False),
        ("example.com/size>9", True),
        ("example.com/size<12", False),
        ("app>1", False),
    ],
)
def test_a_label_selector_selects(text: str, is_selected: bool) -> None:
    assert parse_label_selector(text).matches(LABELS) is is_selected


def test_an_object_without_labels_is_selected_by_absence_only() -> None:
    assert parse_label_selector("!app").matches(None)
    assert not parse_label_selector("app").matches(None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a in", "unable to parse requirement: found '' expected: '('"),
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in ((b)", "unable to parse requirement: found '(', expected: ',', ')' or identifier"),
        ("=x", "found '=', expected: !, identifier, or 'end of string'"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a in (b) c", "found 'c', expected: ',' or 'end of string'"),
        ("/x", 'unable to parse requirement: <nil>: Invalid value: "/x": prefix part must be non-empty'),
        (
            "a>b",
            (
                'unable to parse requirement: values[0]: Invalid value: "b": '
                "for 'Gt', 'Lt' operators, the value must be an integer"
            ),
        ),
        (
            "a in (b,-)",
            (
                'unable to parse requirement: values[0][a]: Invalid value: "-": a valid label must be an empty string'
                " or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric"
                " character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
                " '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            ),
        ),
        (
            "-x",
            (
                'unable to parse requirement: <nil>: Invalid value: "-x": name part must consist of alphanumeric'
                " characters, '-', '_' or '.', and must start and end with an alphanumeric character"
                " (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is"
                " '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
            ),
        ),
    ],
)
def test_a_wrong_label_selector_is_refused_in_the_servers_words(text: str, message: str) -> None:
    with pytest.raises(BadSelector) as refused:
        parse_label_selector(text)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("key", "part"),
    [
        ("a/b/c", "a valid label key must consist"),
        ("A.b/c", "prefix part a lowercase RFC 1123 subdomain"),
        ("x" * 64, "name part must be no more than 63 bytes"),
        (f"{'a' * 254}/b", "prefix part must be no more than 253 bytes"),
        ("a/", "name part must be non-empty"),
        ("a\n", "name part must consist"),
    ],
)
def test_a_wrong_label_key_is_named(key: str, part: str) -> None:
    assert part in label_key_problem(key)


def test_right_labels_have_no_problem() -> None:
    assert not label_key_problem("example.com/My_name.1")
    assert not label_value_problem("")
    assert label_value_problem("v" * 64) == "must be no more than 63 bytes"


POD: Json = {
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "n"},
    "spec": {"nodeName": "local", "restartPolicy": "Always", "hostNetwork": False},
    "status": {"phase": "Running"},
}
EVENT: Json = {
    "kind": "Event",
    "metadata": {"name": "e"},
    "reportingComponent": "rayfleet",
    "involvedObject": {"kind": "Pod", "name": "p,q"},
}


@pytest.mark.parametrize(
    ("obj", "text", "is_selected"),
    [
        (POD, "", True),
        (POD, "metadata.name=p,metadata.namespace==n", True),
        (POD, "metadata.name!=p", False),
        (POD, "spec.nodeName=", False),
        (POD, "spec.host=local", True),
        (POD, "status.podIP=", True),
        (POD, "status.podIP!=127.0.0.1", True),
        (POD, "spec.hostNetwork=false,status.phase=Running,,spec.restartPolicy=Always", True),
        (EVENT, "involvedObject.name=p\\,q,involvedObject.kind=Pod", True),
        (EVENT, "source=rayfleet", True),
        ({"kind": "Node", "metadata": {}, "spec": {}}, "spec.unschedulable=false", True),
    ],
)
def test_a_field_selector_selects(obj: ReadOnlyJson, text: str, is_selected: bool) -> None:
    assert parse_field_selector(text, LABELS_OF[obj["kind"]]).matches(obj) is is_selected


def test_a_field_selector_tells_its_fields() -> None:
    selector = parse_field_selector("metadata.name=p,spec.nodeName!=x", LABELS_OF["Pod"])
    terms = [(term.path, term.value, term.is_negated) for term in selector.terms]
    assert terms == [("metadata.name", "p", False), ("spec.nodeName", "x", True)]


_KNOWN = 'only "metadata.name", "metadata.namespace"'


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("Pod", "spec.x=1", "field label not supported: spec.x"),
        ("Node", "metadata.namespace=a", "field label not supported: metadata.namespace"),
        ("ConfigMap", "spec.x=1", f'"spec.x" is not a known field selector: {_KNOWN}'),
        ("ConfigMap", "abc", "invalid selector: 'abc'; can't understand 'abc'"),
        ("ConfigMap", "a=\\x", "invalid field selector: invalid escape sequence: \\x"),
        ("ConfigMap", "a=b\\", "invalid field selector: invalid escape sequence: \\"),
        ("ConfigMap", "metadata.name=a=b", "invalid field selector: unescaped character in value: 61"),
    ],
)
def test_a_wrong_field_selector_is_refused_in_the_servers_words(kind: str, text: str, message: str) -> None:
    with pytest.raises(BadSelector) as refused:
        parse_field_selector(text, LABELS_OF[kind])
    assert str(refused.value) == message


def test_a_custom_resource_is_selected_by_what_its_version_declares() -> None:
    selector = parse_field_selector("spec.model=m", custom_kind([{"jsonPath": ".spec.model"}]).field_labels)
    assert selector.matches({"kind": "Thing", "spec": {"model": "m"}})
    with pytest.raises(BadSelector, match=r"^field label not supported: spec\.model$"):
        parse_field_selector("spec.model=m", custom_kind([]).field_labels)


def custom_kind(selectable: list[ReadOnlyJson]) -> Kind:
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    version = {"name": "v1", "served": True, "selectableFields": selectable}
    definition = {"spec": {"group": "x.io", "scope": "Namespaced", "names": names, "versions": [version]}}
    (kind,) = kinds_of(definition, MetadataFields(SCHEMAS))
    return kind
