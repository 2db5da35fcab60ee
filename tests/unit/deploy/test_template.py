"""One tree, two readings (rayfleet.deploy.template); that Helm reads the second as we do the first: tests/kube."""

from typing import Any

import pytest

from rayfleet.deploy.template import (
    ForEach,
    Inputs,
    Item,
    Joined,
    Namespace,
    Value,
    When,
    filled,
    template_text,
)

VALUES = {"a": {"on": True, "off": False, "count": 3}, "names": ["x", "y"], "nobody": []}


def put_in(tree: Any) -> list[Any]:
    return filled(tree, Inputs(values=VALUES, namespace="ns", files={}))


@pytest.mark.parametrize(
    ("tree", "documents"),
    [
        (
            {"n": Value("a.count"), "s": Joined(("--n=", Value("a.count"), "@", Namespace()))},
            [{"n": 3, "s": "--n=3@ns"}],
        ),
        ({"yes": When("a.on", 1), "no": When("a.off", 1), "not": When("a.off", 2, not_=True)}, [{"yes": 1, "not": 2}]),
        (
            {"l": ["k", When("a.off", "no"), ForEach("names", {"name": Item()})]},
            [{"l": ["k", {"name": "x"}, {"name": "y"}]}],
        ),
        (When("a.off", {"kind": "A"}), []),
        (When("a.on", ForEach("names", {"kind": Item()})), [{"kind": "x"}, {"kind": "y"}]),
        (When("nobody", {"kind": "A"}), []),
    ],
)
def test_holes_are_filled_and_what_is_not_due_is_not_there(tree: Any, documents: list[Any]) -> None:
    assert put_in(tree) == documents


def test_a_template_asks_where_a_tree_has_a_condition() -> None:
    tree = When("a.on", {"kind": "A", "args": ["true", When("a.off", Joined(("100%", Value("a.count"))))]})
    assert template_text([tree]).splitlines() == [
        "{{- if $.Values.a.on }}",
        "---",
        "kind: A",
        "args:",
        '  - "true"',
        "  {{- if $.Values.a.off }}",
        '  - {{ printf "100%%%v" $.Values.a.count | toJson }}',
        "  {{- end }}",
        "{{- end }}",
    ]


@pytest.mark.parametrize("text", ["true", "No", "~", "", "1", "a: b", "x #y", "- a", "0x10", "y"])
def test_a_text_stays_a_text_in_yaml(text: str) -> None:
    import yaml

    assert yaml.safe_load(template_text([{"text": text}])) == {"text": text}


def test_a_text_that_helm_would_read_as_its_own_is_refused() -> None:
    with pytest.raises(AssertionError, match="belongs into a file"):
        template_text([{"expr": "{{ $labels.pod }}"}])
