"""YAML as Kubernetes' tools read it, with the line of every mistake."""

import pytest
import yaml

from rayfleet.manifest.documents import load_documents
from rayfleet.model.errors import ManifestError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\nb: 2", "line 2, column 2: expected ',' or ']', but got ':' (while parsing a flow sequence)"),
        ("kind: A\napiVersion: v1\nkind: B", 'line 3, column 1: the key "kind" stands twice in one mapping'),
        ("---\n---\n- 1", "line 3: is no Kubernetes manifest: apiVersion and kind must be given"),
        (
            "a: \0",
            (
                "text: unacceptable character #x0000: special characters are not allowed\n"
                '  in "<unicode string>", position 3'
            ),
        ),
        ("a: 0x_", "text: invalid literal for int() with base 16: ''"),
        ("[" * 5000, "text: is nested too deeply"),
        ("a: &x [*x", "line 1, column 10: expected ',' or ']', but got '<stream end>' (while parsing a flow sequence)"),
    ],
)
def test_a_syntax_error_names_file_and_line(text: str, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        load_documents(text, "fleet.yaml")
    assert caught.value.subject == "fleet.yaml"
    assert [str(error) for error in caught.value.errors] == [message]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8080:80", "8080:80"),
        ("2026-01-02", "2026-01-02"),
        ("010", 8),
        ("0x1F", 31),
        ("1e3", 1000.0),
        ("1.5", 1.5),
        ("yes", True),
        ("y", True),
        ("N", False),
        ("25%", "25%"),
        ("~", None),
    ],
)
def test_scalars_are_read_as_kubernetes_tools_read_them(text: str, value: object) -> None:
    [document] = load_documents(f"apiVersion: v1\nkind: X\nvalue: {text}", "x")
    assert document.raw["value"] == value


def test_empty_documents_are_skipped_and_lines_counted() -> None:
    text = "---\n# nothing\n---\napiVersion: v1\nkind: A\n---\napiVersion: v1\nkind: B\n"
    assert [(each.raw["kind"], each.line) for each in load_documents(text, "x")] == [("A", 4), ("B", 7)]


def test_a_list_gives_its_items() -> None:
    text = '{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "A"}]}'
    assert [each.raw["kind"] for each in load_documents(text, "x")] == ["A"]


def test_what_a_mapping_writes_itself_wins_over_what_it_merges() -> None:
    """Also where a merged mapping merges another one, and is used before it is read as a value of its own."""
    text = (
        "apiVersion: v1\nkind: A\n"
        "deep: {list: [&small {name: a, image: one}, &big {<<: *small, image: two}]}\n"
        "first: {<<: *big, name: b}\n"
    )
    [document] = load_documents(text, "x")
    assert document.raw["deep"]["list"] == [{"name": "a", "image": "one"}, {"name": "a", "image": "two"}]
    assert document.raw["first"] == {"name": "b", "image": "two"}
    assert document.line_of("first.name") == 4


def test_a_doubled_key_is_refused_in_what_is_merged_too() -> None:
    with pytest.raises(ManifestError, match='line 3, column 14: the key "b" stands twice'):
        load_documents("apiVersion: v1\nkind: A\na: &a {b: 1, b: 2}\nc: {<<: *a}\n", "x")


def test_libyaml_reads_where_it_is_there() -> None:
    """A thousand models' files take PyYAML's own parser seconds."""
    [document] = load_documents("apiVersion: v1\nkind: A\nspec: {a: [1, x]}\n", "x")
    assert document.node is not None
    assert (type(document.node.start_mark).__module__ == "yaml._yaml") is yaml.__with_libyaml__
    assert (document.raw["spec"], document.line_of("spec.a[1]")) == ({"a": [1, "x"]}, 3)
