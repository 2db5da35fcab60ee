"""Patches by their content type. Pure: what a body makes of an object, and which forms a kind takes."""

from collections.abc import Callable

import orjson

from rayfleet.local.apiserver.grammar.refusal import bad_request, unsupported_media
from rayfleet.local.apiserver.kinds.kind import Kind
from rayfleet.local.apiserver.writes.json_patch import json_patched, merge_patched
from rayfleet.local.apiserver.writes.strategic_patch import strategic_patched
from rayfleet.model.json import Json, ReadOnlyJson

_JSON = "application/json-patch+json"
_MERGE = "application/merge-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


def patcher(kind: Kind, content_type: str, body: bytes) -> Callable[[ReadOnlyJson], Json]:
    """Return what the patch makes of an object.

    Raises Refusal: 400 for a wrong patch, 415 for a form that is not taken.
    """
    forms = [_JSON, _MERGE] if kind.is_custom else [_JSON, _MERGE, _STRATEGIC]
    if content_type not in forms:
        raise unsupported_media([*forms, APPLY])
    try:
        patch = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"error decoding patch: {error}") from error
    if content_type == _JSON:
        return lambda document: json_patched(document, patch)
    if not isinstance(patch, dict):
        raise bad_request("error decoding patch: a merge patch is an object")
    if content_type == _STRATEGIC:
        return lambda document: strategic_patched(document, patch, kind.fields.merge_keys)
    return lambda document: _object(merge_patched(document, patch))


def _object(patched: object) -> Json:
    if not isinstance(patched, dict):
        raise bad_request("the patched document is no object")
    return patched
