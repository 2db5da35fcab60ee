"""Sets of fields: who owns what of an object, and how that is written (``fieldsV1``). Pure.

A path is a tuple of parts, each as ``fieldsV1`` writes it: ``f:NAME`` a field, ``k:{...}`` the item of a list by its
keys, ``v:VALUE`` the item of a set. A set is a frozen set of paths. Source: structured-merge-diff ``fieldpath`` (v6.3).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from rayfleet.local.apiserver.kinds.shapes import Shape
from rayfleet.model.json import Json, ReadOnlyJson

Path = tuple[str, ...]
FieldSet = frozenset[Path]
NO_FIELDS: FieldSet = frozenset()


def field(name: str) -> str:
    """Return the part of a field."""
    return f"f:{name}"


def item_part(place: Shape, item: Any) -> str | None:
    """Return the part of an item of a set or a keyed list; None for an item that has no identity."""
    if not place.keys:
        return None if item is None or isinstance(item, dict | list) else "v:" + orjson.dumps(item).decode()
    if not isinstance(item, dict):
        return None
    keys = {key: item[key] if key in item else _default_of(place, key) for key in place.keys}
    present = {key: value for key, value in keys.items() if value is not None}
    return "k:" + orjson.dumps(present).decode() if present else None


def encode_fields(fields: FieldSet) -> Json:
    """Return the set as ``fieldsV1``."""
    tree: Json = {}
    for path in sorted(fields):
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node["."] = {}
    return _folded(tree)


def decode_fields(tree: ReadOnlyJson) -> FieldSet:
    """Return the set that ``fieldsV1`` means."""
    return frozenset(_paths(tree, ()))


def shown_path(path: Path) -> str:
    """Return the path as messages have it: ``.spec.ports[port=80,protocol="TCP"].name``."""
    return "".join(_shown_part(part) for part in path)


def beside(fields: FieldSet, prefixes: Iterable[Path]) -> FieldSet:
    """Return the fields that are none of ``prefixes`` and not below one."""
    heads = tuple(prefixes)
    if not heads:
        return fields
    return frozenset(path for path in fields if not any(path[: len(head)] == head for head in heads))


def with_named(place: Shape, fields: FieldSet) -> FieldSet:
    """Return the set with each declared field that has a member below it: who owns parts of a struct owns it too."""
    result = set(fields)
    for path in fields:
        here: Shape | None = place
        for depth, part in enumerate(path[:-1], start=1):
            if here is None:
                break
            if part.startswith("f:"):
                if here.declares(part[2:]):
                    result.add(path[:depth])
                here = here.below(part[2:])
            else:
                here = here.item
    return frozenset(result)


def as_tree(fields: FieldSet) -> Mapping[str, Any]:
    """Return the set as nested mappings; a member has the key ``.``."""
    tree: Json = {}
    for path in fields:
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node["."] = {}
    return tree


def _default_of(place: Shape, key: str) -> Any:
    below = place.item.below(key)
    return None if below is None else below.default


def _folded(tree: Json) -> Json:
    """Return the tree with a member that has nothing below it as an empty object."""
    return {part: {} if below.keys() == {"."} else _folded(below) for part, below in tree.items()}


def _paths(tree: ReadOnlyJson, above: Path) -> Iterator[Path]:
    for part, below in tree.items():
        if part == ".":
            yield above
        elif not below:
            yield (*above, part)
        else:
            yield from _paths(below, (*above, part))


def _shown_part(part: str) -> str:
    kind, text = part[:2], part[2:]
    match kind:
        case "f:":
            return f".{text}"
        case "k:":
            keys = orjson.loads(text)
            return "[" + ",".join(f"{key}={orjson.dumps(keys[key]).decode()}" for key in sorted(keys)) + "]"
        case "v:":
            return f"[={text}]"
        case _:
            return f"[{text}]"
