"""Request bodies: JSON with what a strict decoder complains about. Pure."""

import json
from typing import Any

import orjson

from rayfleet.local.apiserver.grammar.refusal import bad_request, unsupported_media
from rayfleet.model.json import Json


def check_json(content_type: str) -> None:
    """Raise Refusal (415) unless the body is JSON; no Content-Type means JSON, as for the API server."""
    if content_type and content_type.split(";", maxsplit=1)[0].strip().lower() not in ("application/json", "*/*"):
        raise unsupported_media(["application/json"])


def decode_object(body: bytes, kind: str) -> Json:
    """Return the object of a body.

    Raises Refusal (400) for what is no JSON object; ``kind`` is named in the message.
    """
    try:
        decoded: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind}): "
            f"couldn't get version/kind; json parse error: {error}"
        ) from error
    if not isinstance(decoded, dict):
        raise bad_request(f"the object provided is unrecognized (must be of type {kind}): it is no JSON object")
    return decoded


def duplicate_fields(body: bytes) -> list[str]:
    """Return the path of each field that is given twice in one object, in the order of the document.

    The body is one that ``decode_object`` took.
    """
    if body.count(b'"') < 4:
        return []
    # Python's own decoder is the one that shows every pair; it costs some 10 µs per kB.
    root = json.loads(body, object_pairs_hook=_Pairs)
    paths: list[str] = []
    _collect(root, "", paths)
    return paths


class _Pairs(list[tuple[str, Any]]):
    """One JSON object as it was written."""


def _collect(value: Any, path: str, paths: list[str]) -> None:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, inner in value:
            below = f"{path}.{key}" if path else key
            if key in seen:
                paths.append(below)
            seen.add(key)
            _collect(inner, below, paths)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _collect(inner, f"{path}[{index}]", paths)
