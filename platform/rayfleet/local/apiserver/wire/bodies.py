"""Request bodies: JSON or YAML with what a strict decoder complains about. Pure."""

import json
from dataclasses import dataclass
from typing import Any

import orjson

from rayfleet.local.apiserver.grammar.refusal import Refusal, bad_request, unsupported_media
from rayfleet.local.apiserver.wire.yaml_text import YAML, decode_yaml
from rayfleet.model.json import Json

_ACCEPTED = ["application/json", YAML, "application/vnd.kubernetes.protobuf"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The object of a body; ``duplicates`` are the paths of fields that it gives twice, in their order."""

    object: Json
    duplicates: list[str]


def decode_body(content_type: str, body: bytes, kind: str) -> Body:
    """Return the object of a body by its media type; none means JSON, as for the API server.

    Raises Refusal: 415 for another type, 400 for what is no object; ``kind`` is named in the message.
    """
    match content_type:
        case "" | "application/json" | "*/*":
            return Body(object=decode_object(body, kind), duplicates=duplicate_fields(body))
        case "application/yaml":
            decoded, duplicates = decode_yaml(body, kind)
            return Body(object=_checked(decoded, kind), duplicates=duplicates)
        case _:
            raise unsupported_media(_ACCEPTED)


def decode_object(body: bytes, kind: str) -> Json:
    """Return the object of a JSON body.

    Raises Refusal (400) for what is no JSON object; ``kind`` is named in the message.
    """
    try:
        decoded: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind}): "
            f"couldn't get version/kind; json parse error: {error}"
        ) from error
    return _checked(decoded, kind)


def decode_configuration(body: bytes) -> tuple[Json, list[str]]:
    """Return the object of a body that is applied, YAML or JSON, and its repeated keys. Raises Refusal (400)."""
    try:
        decoded, duplicates = decode_yaml(body, "")
    except Refusal as refusal:
        raise bad_request(f"error decoding YAML: {refusal.message}") from refusal
    if not isinstance(decoded, dict):
        raise bad_request("error decoding YAML: it is no object")
    return decoded, duplicates


def _checked(decoded: Any, kind: str) -> Json:
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
