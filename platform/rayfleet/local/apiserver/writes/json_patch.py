"""JSON patch (RFC 6902) and JSON merge patch (RFC 7386).

Pure: the document is never changed, the result shares no part with it.

As lenient as kube-apiserver 1.36 (``json-patch`` v4): a missing value is null, ``replace`` may make a key, ``copy`` and
``test`` see null where an object lacks a key, -1 is the last place. Unlike there, a path without its first slash is
refused.
"""

import copy
import re
from collections.abc import Sequence
from typing import Any

from rayfleet.local.apiserver.grammar.refusal import Refusal, bad_request
from rayfleet.manifest.structural import is_same
from rayfleet.model.json import Json, ReadOnlyJson

_MOST_OPERATIONS = 10_000  # as the API server's


def json_patched(document: ReadOnlyJson, operations: object) -> Json:
    """Return ``document`` after ``operations``.

    Raises Refusal: 400 for what is no patch, 422 for one that cannot be applied.
    """
    if not isinstance(operations, list) or not all(isinstance(each, dict) for each in operations):
        raise bad_request("error decoding patch: a JSON patch is a list of operations")
    if len(operations) > _MOST_OPERATIONS:
        raise Refusal(
            413, "RequestEntityTooLarge", f"The allowed maximum operations in a JSON patch is {_MOST_OPERATIONS}"
        )
    holder: Json = {"root": copy.deepcopy(document)}
    for operation in operations:
        try:
            _apply(holder, operation)
        except _CannotApplyError as error:
            # The API server does not tell which operation failed, either.
            message = "the server rejected our request due to an error in our request"
            raise Refusal(422, "Invalid", message, details={}) from error
    if not isinstance(holder["root"], dict):
        raise bad_request("the patched document is no object")
    return holder["root"]


def merge_patched(document: Any, patch: Any) -> Any:
    """Return ``document`` merged with ``patch``; null removes a key, a list replaces a list."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = copy.deepcopy(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patched(result.get(key), value)
    return result


class _CannotApplyError(Exception):
    """An operation does not fit the document."""


def _apply(holder: ReadOnlyJson, operation: ReadOnlyJson) -> None:
    name = operation.get("op")
    path = _path(operation, "path")
    match name:
        case "add":
            _add(holder, path, copy.deepcopy(operation.get("value")))
        case "remove":
            _remove(holder, path)
        case "replace":
            _set(holder, path, copy.deepcopy(operation.get("value")))
        case "test":
            if not is_same(_at_or_null(holder, path), operation.get("value")):
                raise _CannotApplyError(f"testing value {operation['path']} failed: test failed")
        case "copy":
            _add(holder, path, copy.deepcopy(_at_or_null(holder, _path(operation, "from"))))
        case "move":
            source = _path(operation, "from")
            value = _at(holder, source)
            _remove(holder, source)
            _add(holder, path, value)
        case _:
            raise _CannotApplyError(f"Unexpected kind: {name}")


def _path(operation: ReadOnlyJson, field: str) -> list[str]:
    text = operation.get(field)
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise _CannotApplyError(f"{operation.get('op')} operation does not have a valid {field}: {text!r}")
    return ["root", *(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])]


def _at(holder: Any, path: Sequence[str]) -> Any:
    value = holder
    for depth, part in enumerate(path):
        value = _child(value, part, path[: depth + 1])
    return value


def _at_or_null(holder: Any, path: Sequence[str]) -> Any:
    """Return what lies at ``path``; null for a key that an object lacks."""
    parent = _at(holder, path[:-1])
    return parent.get(path[-1]) if isinstance(parent, dict) else _at(holder, path)


def _child(parent: Any, part: str, path: Sequence[str]) -> Any:
    if isinstance(parent, dict) and part in parent:
        return parent[part]
    if isinstance(parent, list):
        return parent[_index(parent, part, path, size=len(parent))]
    raise _CannotApplyError(f"doc is missing path: {_shown(path)}: missing value")


def _add(holder: Any, path: Sequence[str], value: Any) -> None:
    parent = _at(holder, path[:-1])
    if isinstance(parent, list):
        part = path[-1]
        parent.insert(len(parent) if part == "-" else _index(parent, part, path, size=len(parent) + 1), value)
    else:
        _set(holder, path, value)


def _set(holder: Any, path: Sequence[str], value: Any) -> None:
    parent = _at(holder, path[:-1])
    if isinstance(parent, list):
        parent[_index(parent, path[-1], path, size=len(parent))] = value
    elif isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        raise _CannotApplyError(f"{_shown(path[:-1])} is neither an object nor a list")


def _remove(holder: Any, path: Sequence[str]) -> None:
    _at(holder, path)
    parent = _at(holder, path[:-1])
    if isinstance(parent, list):
        del parent[_index(parent, path[-1], path, size=len(parent))]
    else:
        del parent[path[-1]]


def _index(parent: list[Any], part: str, path: Sequence[str], *, size: int) -> int:
    """Return the place that ``part`` names among ``size`` ones; negative places count from the end."""
    if not re.fullmatch(r"[+-]?[0-9]+", part) or not -size <= int(part) < size:
        raise _CannotApplyError(
            f"{_shown(path)}: {part!r} is no index of a list of {len(parent)}: invalid index referenced"
        )
    return int(part) % size


def _shown(path: Sequence[str]) -> str:
    return "/" + "/".join(path[1:])
