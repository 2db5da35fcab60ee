"""Manifests from YAML or JSON text. Pure.

Scalars are read as Kubernetes' tools read them, not as PyYAML does by default: ``1:30`` and ``2026-01-02`` stay text. A
key that stands twice is an error here; kubectl would keep one of them without a word.
"""

import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from rayfleet.model.errors import FieldError, ManifestError
from rayfleet.model.json import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One manifest: ``source`` is the file as the user named it, ``line`` (from 1) where it begins."""

    raw: Json
    source: str
    line: int


def load_documents(text: str, source: str) -> list[Document]:
    """Return the manifests in order; a ``List`` gives its items, an empty document nothing.

    Every kind passes through untouched. Raises ManifestError: the text is no YAML, or a document is no manifest.
    """
    try:
        return [document for raw, line in _values(text) for document in _documents(raw, source, line)]
    except yaml.MarkedYAMLError as error:
        raise ManifestError(source, [_syntax_error(error)]) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ManifestError(source, [FieldError(path="text", message=str(error))]) from error
    except RecursionError as error:
        raise ManifestError(source, [FieldError(path="text", message="is nested too deeply")]) from error


def _values(text: str) -> Iterator[tuple[Any, int]]:
    """Yield the value of each YAML document with the line where it begins."""
    loader = _KubernetesLoader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            line = node.start_mark.line + 1 if node is not None else 1
            yield loader.construct_document(node), line
    finally:
        loader.dispose()


def _documents(raw: Any, source: str, line: int) -> Iterator[Document]:
    if raw is None:
        return
    if not isinstance(raw, dict) or not raw.get("kind") or not raw.get("apiVersion"):
        message = "is no Kubernetes manifest: apiVersion and kind must be given"
        raise ManifestError(source, [FieldError(path=f"line {line}", message=message)])
    items = raw.get("items")
    if str(raw["kind"]).endswith("List") and isinstance(items, list):
        for item in items:
            yield from _documents(item, source, line)
        return
    yield Document(raw=raw, source=source, line=line)


def _syntax_error(error: yaml.MarkedYAMLError) -> FieldError:
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "text"
    context = f" ({error.context})" if error.context else ""
    return FieldError(path=place, message=f"{error.problem or 'cannot be read'}{context}")


class _KubernetesLoader(yaml.SafeLoader):
    """Reads scalars as Go's YAML does, and refuses a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return the mapping; all keys are texts, as in JSON."""
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    problem=f'the key "{name}" stands twice in one mapping', problem_mark=key.start_mark
                )
            seen.add(name)
        built = super().construct_mapping(node, deep=deep)
        return {name if isinstance(name, str) else _text_key(name): value for name, value in built.items()}


def _text_key(key: Hashable) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


_UNWANTED = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp"}
_KubernetesLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _UNWANTED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_KubernetesLoader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(0|[1-9][0-9_]*|0[0-7_]+|0x[0-9a-fA-F_]+|0b[01_]+)$"),
    list("-+0123456789"),
)
_KubernetesLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?([0-9][0-9_]*\.[0-9_]*([eE][-+]?[0-9]+)?|\.[0-9]+([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$"),
    list("-+0123456789."),
)
