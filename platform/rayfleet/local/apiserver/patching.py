"""Patches by their content type. Pure: what a body makes of an object, and which forms a kind takes."""

from collections.abc import Callable

import orjson

from rayfleet.local.apiserver.kinds import Kind
from rayfleet.local.apiserver.patches import json_patched, merge_patched
from rayfleet.local.apiserver.refusal import Refusal, bad_request, unsupported_media
from rayfleet.local.apiserver.strategic import Rules, strategic_patched
from rayfleet.model.meta import JsonObject

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
_APPLY = ("application/apply-patch+yaml", "application/apply-patch+cbor")
_NO_APPLY = (
    "server-side apply is not offered by rayfleet's embedded API server; use client-side apply (kubectl apply without --server-side) "
    "or one of: "
)


def patch_form(content_type: str, kind: Kind) -> str:
    """Return the media type of a patch. Raises Refusal (415) for one that the kind does not take."""
    form = content_type.split(";", maxsplit=1)[0].strip().lower()
    forms = [JSON_PATCH, MERGE_PATCH] if kind.is_custom else [JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH]
    if form in _APPLY:
        raise Refusal(415, "UnsupportedMediaType", _NO_APPLY + ", ".join(forms))
    if form not in forms:
        raise unsupported_media(forms)
    return form


def patcher(kind: Kind, content_type: str, body: bytes) -> Callable[[JsonObject], JsonObject]:
    """Return what the patch makes of an object. Raises Refusal: 415; the returned function 400, 422."""
    form = patch_form(content_type, kind)
    return lambda document: apply_patch(form, document, body, kind.fields.merge_keys)


def apply_patch(form: str, document: JsonObject, body: bytes, rules: Rules) -> JsonObject:
    """Return what the patch makes of ``document``. Raises Refusal: 400 for what is no patch, 422 for one that does not fit."""
    try:
        patch = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"error decoding patch: {error}") from error
    if form == JSON_PATCH:
        return json_patched(document, patch)
    if not isinstance(patch, dict):
        raise bad_request("error decoding patch: a merge patch is an object")
    if form == STRATEGIC_PATCH:
        return strategic_patched(document, patch, rules)
    return _object(merge_patched(document, patch))


def _object(patched: object) -> JsonObject:
    if not isinstance(patched, dict):
        raise bad_request("the patched document is no object")
    return patched
