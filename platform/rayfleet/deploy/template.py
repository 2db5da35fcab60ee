"""Objects with holes: one declaration that becomes both a Helm chart and what `rayfleet install` prints. Pure.

A tree is JSON in which a place may hold one of the nodes below. ``filled`` puts values into the holes,
``template_text`` writes the same tree as a template of Go's text/template with Helm's functions. That both come to the
same objects is held by a test with the real Helm. What counts as said is Go's truth: not empty, not zero, not false.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rayfleet.model.json import Json, ReadOnlyJson

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9./_-]*")  # texts that YAML 1.1 leaves texts without quotes
_WORDS_OF_YAML = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What fills the holes: the values, the release's namespace, and the chart's files by their path."""

    values: ReadOnlyJson
    namespace: str
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Value:
    """The value at ``path``, apart by dots, whatever its type."""

    path: str


@dataclass(frozen=True, slots=True)
class Namespace:
    """The namespace that everything is installed into."""


@dataclass(frozen=True, slots=True)
class File:
    """The text of a file of the chart; with ``is_json`` what it says."""

    path: str
    is_json: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """Within ``ForEach``: what is at turn."""


@dataclass(frozen=True, slots=True)
class Joined:
    """Texts and holes, one after the other, as one text."""

    parts: tuple["str | Value | Namespace", ...]


@dataclass(frozen=True, slots=True)
class When:
    """``then`` if the value at ``path`` says something (with ``not_``: nothing), else the place is not there."""

    path: str
    then: Any
    not_: bool = False


@dataclass(frozen=True, slots=True)
class ForEach:
    """``then`` for each item of the list at ``path``, in a list or among documents."""

    path: str
    then: Any


def filled(tree: Any, inputs: Inputs) -> list[Json]:
    """Return the documents that ``tree`` (a document, or a node around one) becomes: none, one or several."""
    return list(_items([tree], inputs, None))


def template_text(documents: Sequence[Any]) -> str:
    """Return the text of a template file with these documents, in this order."""
    return "".join(line + "\n" for tree in documents for line in _document_lines(tree))


def value_at(values: ReadOnlyJson, path: str) -> Any:
    """Return a value; the path is known to be there, since defaults are filled in."""
    inner: Any = values
    for name in path.split("."):
        inner = inner[name]
    return inner


def _filled(tree: Any, inputs: Inputs, item: Any) -> Any:
    match tree:
        case Joined(parts):
            value: Any = "".join(str(_filled(each, inputs, item)) for each in parts)
        case dict():
            due = {name: each for name, each in tree.items() if not isinstance(each, When) or _is_due(each, inputs)}
            value = {
                name: _filled(each.then if isinstance(each, When) else each, inputs, item) for name, each in due.items()
            }
        case list():
            value = list(_items(tree, inputs, item))
        case _:
            value = _put_in(tree, inputs, item)
    return value


def _put_in(tree: Any, inputs: Inputs, item: Any) -> Any:
    match tree:
        case Value(path):
            value: Any = value_at(inputs.values, path)
        case Namespace():
            value = inputs.namespace
        case File(path, is_json):
            value = json.loads(inputs.files[path]) if is_json else inputs.files[path]
        case Item():
            value = item
        case _:
            value = tree
    return value


def _items(trees: Sequence[Any], inputs: Inputs, item: Any) -> Iterator[Any]:
    for tree in trees:
        if isinstance(tree, ForEach):
            for each in value_at(inputs.values, tree.path):
                yield from _items([tree.then], inputs, each)
        elif isinstance(tree, When):
            yield from _items([tree.then] if _is_due(tree, inputs) else [], inputs, item)
        else:
            yield _filled(tree, inputs, item)


def _is_due(node: When, inputs: Inputs) -> bool:
    return bool(value_at(inputs.values, node.path)) is not node.not_


def _document_lines(tree: Any) -> Iterator[str]:
    match tree:
        case When() | ForEach():
            yield f"{{{{- {_head(tree)} }}}}"
            yield from _document_lines(tree.then)
            yield "{{- end }}"
        case _:
            yield "---"
            yield from _mapping_lines(tree, "")


def _mapping_lines(tree: Mapping[str, Any], pad: str) -> Iterator[str]:
    for name, value in tree.items():
        if isinstance(value, When):
            yield f"{pad}{{{{- {_head(value)} }}}}"
            yield from _mapping_lines({name: value.then}, pad)
            yield f"{pad}{{{{- end }}}}"
        elif isinstance(value, dict | list) and value:
            yield f"{pad}{_scalar(name)}:"
            yield from _block_lines(value, pad + "  ")
        else:
            yield f"{pad}{_scalar(name)}: {_scalar(value)}"


def _block_lines(tree: Any, pad: str) -> Iterator[str]:
    if isinstance(tree, dict):
        yield from _mapping_lines(tree, pad)
        return
    for each in tree:
        if isinstance(each, When | ForEach):
            yield f"{pad}{{{{- {_head(each)} }}}}"
            yield from _block_lines([each.then], pad)
            yield f"{pad}{{{{- end }}}}"
        elif isinstance(each, dict | list) and each:
            yield f"{pad}-"
            yield from _block_lines(each, pad + "  ")
        else:
            yield f"{pad}- {_scalar(each)}"


def _head(node: When | ForEach) -> str:
    if isinstance(node, ForEach):
        return f"range $.Values.{node.path}"
    return f"if {'not ' if node.not_ else ''}$.Values.{node.path}"


def _scalar(tree: Any) -> str:
    match tree:
        case Joined(parts):
            form = "".join(each.replace("%", "%%") if isinstance(each, str) else "%v" for each in parts)
            holes = " ".join(_expression(each) for each in parts if not isinstance(each, str))
            return f"{{{{ printf {json.dumps(form)} {holes} | toJson }}}}"
        case File(path, is_json):
            reading = " | fromJsonArray" if is_json else ""
            return f"{{{{ $.Files.Get {json.dumps(path)}{reading} | toJson }}}}"
        case Value() | Namespace() | Item():
            return f"{{{{ {_expression(tree)} | toJson }}}}"
        case str() if _PLAIN.fullmatch(tree) and tree.lower() not in _WORDS_OF_YAML:
            return tree
        case _:
            text = json.dumps(tree, ensure_ascii=False)
            assert "{{" not in text, "a text that Helm would take for its own belongs into a file of the chart"
            return text


def _expression(node: Any) -> str:
    match node:
        case Value(path):
            return f"$.Values.{path}"
        case Namespace():
            return "$.Release.Namespace"
        case Item():
            return "."
        case _:
            raise TypeError(f"{node!r} stands where only a value may")
