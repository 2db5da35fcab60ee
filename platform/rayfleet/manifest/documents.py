"""Manifests from YAML or JSON text. Pure.

Scalars are read as Kubernetes' tools read them, not as PyYAML does by default: ``1:30`` and ``2026-01-02`` stay text. A
key that stands twice is an error here; kubectl would keep one of them without a word. One that is merged in (``<<``)
and written too is not: what is written wins.

libyaml reads where PyYAML has it, several times as fast. What it refuses is read again by PyYAML's own parser, for its
messages.
"""

import contextlib
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from rayfleet.model.errors import FieldError, ManifestError
from rayfleet.model.json import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One manifest: ``source`` is the file as the user named it, ``line`` (from 1) where it begins.

    ``node`` is its text as it was parsed, from which the lines of fields are known; None when there is no text.
    """

    raw: Json
    source: str
    line: int
    node: yaml.Node | None = field(default=None, compare=False, repr=False)

    def line_of(self, path: str) -> int:
        """Return the line of the field at ``path``, else of the nearest around it that is there.

        A path is written as messages have it: ``spec.a[0].b``, ``labels["x/y"]``.
        """
        node, line = self.node, self.line
        for name, place, quoted in _PATH_PART.findall(path):
            step = _child(node, name or quoted, int(place or 0))
            if step is None:
                break
            key, node = step
            line = key.start_mark.line + 1
        return line


def load_documents(text: str, source: str) -> list[Document]:
    """Return the manifests in order; a ``List`` gives its items, an empty document nothing.

    Every kind passes through untouched. Raises ManifestError: the text is no YAML, or a document is no manifest.
    """
    try:
        if _FAST is not None:
            with contextlib.suppress(yaml.YAMLError):
                return _loaded(text, source, _FAST)
        return _loaded(text, source, KubernetesLoader)
    except yaml.MarkedYAMLError as error:
        raise ManifestError(source, [_syntax_error(error)]) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ManifestError(source, [FieldError(path="text", message=str(error))]) from error
    except RecursionError as error:
        raise ManifestError(source, [FieldError(path="text", message="is nested too deeply")]) from error


def _loaded(text: str, source: str, kind: "_Loader") -> list[Document]:
    return [document for raw, node in _values(text, kind) for document in _documents(raw, source, node)]


def _values(text: str, kind: "_Loader") -> Iterator[tuple[Any, yaml.Node]]:
    """Yield the value of each YAML document with the node that it is made from."""
    loader = kind(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is not None:
                _refuse_doubled_keys(node)
                yield loader.construct_document(node), node
    finally:
        loader.dispose()


def _refuse_doubled_keys(root: yaml.Node) -> None:
    """Raise ConstructorError for a key that stands twice in a mapping.

    Before anything is made of the nodes: merges are then worked out in them, and a key that a mapping writes itself
    stands beside the one that it gets.
    """
    left, seen = [root], {id(root)}
    while left:
        node = left.pop()
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        names: set[str] = set()
        for key, _ in pairs:
            name = str(key.value)
            if name in names and key.tag != _MERGE:
                problem = f'the key "{name}" stands twice in one mapping'
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=key.start_mark)
            names.add(name)
        items = node.value if isinstance(node, yaml.SequenceNode) else [value for _, value in pairs]
        for item in items:
            if id(item) not in seen:
                seen.add(id(item))
                left.append(item)


def _documents(raw: Any, source: str, node: yaml.Node | None) -> Iterator[Document]:
    if raw is None:
        return
    line = node.start_mark.line + 1 if node is not None else 1
    if not isinstance(raw, dict) or not raw.get("kind") or not raw.get("apiVersion"):
        message = "is no Kubernetes manifest: apiVersion and kind must be given"
        raise ManifestError(source, [FieldError(path=f"line {line}", message=message)])
    items = raw.get("items")
    if str(raw["kind"]).endswith("List") and isinstance(items, list):
        listed = _child(node, "items", 0)
        for place, item in enumerate(items):
            step = _child(listed[1], "", place) if listed is not None else None
            yield from _documents(item, source, step[1] if step is not None else node)
        return
    yield Document(raw=raw, source=source, line=line, node=node)


_MERGE = "tag:yaml.org,2002:merge"
_PATH_PART = re.compile(r'([A-Za-z0-9_-]+)|\[(\d+)\]|\["([^"]+)"\]')


def _child(node: yaml.Node | None, name: str, place: int) -> tuple[yaml.Node, yaml.Node] | None:
    """Return the nodes of a field's key and of its value, or of a list's item twice; None when it is not there.

    Of a key that was merged in too the last one counts: the mapping's own.
    """
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in reversed(node.value) if str(key.value) == name), None)
    if isinstance(node, yaml.SequenceNode) and not name and place < len(node.value):
        return node.value[place], node.value[place]
    return None


def _syntax_error(error: yaml.MarkedYAMLError) -> FieldError:
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "text"
    context = f" ({error.context})" if error.context else ""
    return FieldError(path=place, message=f"{error.problem or 'cannot be read'}{context}")


class _Kubernetes(yaml.constructor.SafeConstructor, yaml.resolver.Resolver):
    """Reads scalars as Go's YAML does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return the mapping; all keys are texts, as in JSON."""
        built = super().construct_mapping(node, deep=deep)
        return {name if isinstance(name, str) else _text_key(name): value for name, value in built.items()}


def _text_key(key: Hashable) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


_Kubernetes.bool_values = {**_Kubernetes.bool_values, "y": True, "n": False}
_UNWANTED = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp"}
_Kubernetes.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _UNWANTED]
    for first, resolvers in yaml.resolver.Resolver.yaml_implicit_resolvers.items()
}
_Kubernetes.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^[yYnN]$"), list("yYnN"))
_Kubernetes.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(0|[1-9][0-9_]*|0[0-7_]+|0x[0-9a-fA-F_]+|0b[01_]+)$"),
    list("-+0123456789"),
)
_Kubernetes.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?([0-9][0-9_]*\.[0-9_]*([eE][-+]?[0-9]+)?|\.[0-9]+([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$"),
    list("-+0123456789."),
)


class KubernetesLoader(_Kubernetes, yaml.SafeLoader):
    """PyYAML's own parser, reading as Kubernetes' tools read."""


if yaml.__with_libyaml__:

    class _FastLoader(_Kubernetes, yaml.CSafeLoader):
        """libyaml's parser."""


_Loader = type[KubernetesLoader] | type["_FastLoader"]
_FAST = _FastLoader if yaml.__with_libyaml__ else None
