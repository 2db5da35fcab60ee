"""Answers: bodies with their headers. Pure but for aiohttp's own types."""

from collections.abc import Sequence

import orjson
from aiohttp import web
from multidict import CIMultiDict

from rayfleet.local.apiserver.grammar.refusal import Refusal
from rayfleet.local.apiserver.wire.negotiation import JSON
from rayfleet.local.apiserver.wire.yaml_text import YAML, encode_yaml


def answer(body: bytes, *, status: int = 200, warnings: Sequence[str] = ()) -> web.Response:
    """Return a JSON answer; each warning has a header of its own."""
    headers: CIMultiDict[str] = CIMultiDict({"Content-Type": JSON, "Cache-Control": "no-cache, private"})
    for each in warnings:
        headers.add("Warning", "299 - " + _quoted(each))
    return web.Response(body=body, status=status, headers=headers)


def json_answer(content: object, *, status: int = 200) -> web.Response:
    """Return a JSON answer."""
    return answer(orjson.dumps(content), status=status)


def refused(refusal: Refusal) -> web.Response:
    """Return the Status of a refusal."""
    response = json_answer(refusal.status(), status=refusal.code)
    if refusal.retry_after:
        response.headers["Retry-After"] = str(refusal.retry_after)
    return response


def as_yaml(response: web.StreamResponse) -> web.StreamResponse:
    """Return a JSON answer as YAML, with its other headers; any other answer as it is."""
    if not isinstance(response, web.Response) or response.content_type != JSON or not isinstance(response.body, bytes):
        return response
    headers = CIMultiDict(response.headers)
    headers["Content-Type"] = YAML
    headers.pop("Content-Length", None)
    return web.Response(body=encode_yaml(orjson.loads(response.body)), status=response.status, headers=headers)


def _quoted(text: str) -> str:
    """Return a header's quoted text; what is no visible ASCII would end or break the header."""
    safe = "".join(letter if " " <= letter <= "~" else "?" for letter in text)
    return '"' + safe.replace("\\", "\\\\").replace('"', '\\"') + '"'
