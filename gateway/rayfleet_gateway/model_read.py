"""Which model a request asks for, read from the raw bytes of its body. Pure.

The body is scanned by depth and never built: a prompt of a megabyte is one jump. Only the top level counts; a second ``model`` key,
however it is escaped, is refused, because two parsers may choose differently (and the one that checks is not the one that serves).
What lies below the top level is the engine's to check, except that it must end. Bodies made to be slow are refused: the scan runs in the
loop that all streams share (1,000 keys: 5 ms; 200,000 nested values: some 60 ms).
"""

import json
import re
from dataclasses import dataclass

_STRING = rb'"[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+"'  # possessive: a string that does not end costs one pass
_TOKEN = re.compile(rb"[ \t\r\n]*(?:(" + _STRING + rb")|([{}\[\]:,])|([^\s\"{}\[\]:,]+))")
_INSIDE = re.compile(_STRING + rb'|[{}\[\]"]')
_SPACE = re.compile(rb"[ \t\r\n]*\Z")
_MOST_KEYS = 1000
_MOST_NESTED = 200_000
_LONGEST_NAME = 512
_OPENERS = {b"{": b"}", b"[": b"]"}


class UnreadableBody(ValueError):  # noqa: N818 - what is wrong, in a word; it becomes a 400
    """The body does not say which model is asked for; the message is for the client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    text: bytes
    end: int
    is_string: bool
    is_scalar: bool


def chosen_model(header: str | None, body: bytes) -> str:
    """Return the model that header and body agree on.

    Raises UnreadableBody: neither names one, they differ, the body is no JSON object, or it names the model twice. An
    empty body with the header is fine.
    """
    named = None if header is not None and not body.strip() else body_model(body)
    if header is not None and named is not None and header != named:
        raise UnreadableBody(f"The header `model` says {header[:100]!r}, the body {named[:100]!r}; they must agree.")
    chosen = header if named is None else named
    if chosen is None:
        raise UnreadableBody("The request names no model: set `model` in the body, or the header `model`.")
    if len(chosen) > _LONGEST_NAME:
        raise UnreadableBody(f"The name of the model is longer than {_LONGEST_NAME} characters.")
    return chosen


def body_model(body: bytes) -> str | None:
    """Return the top-level ``model`` of a JSON object, None when it has none. Raises UnreadableBody."""
    token = _next(body, 0)
    if token is None or token.text != b"{":
        raise UnreadableBody("The request's body is not a JSON object.")
    models: list[str] = []
    at, keys = token.end, 0
    closing = _next(body, at)
    if closing is not None and closing.text == b"}":
        _expect_end(body, closing.end)
        return None
    while token.text != b"}":
        token, named = _member(body, at)
        models += [] if named is None else [named]
        at, keys = token.end, keys + 1
        if keys > _MOST_KEYS:
            raise UnreadableBody(f"The request's body has more than {_MOST_KEYS} keys.")
    if len(models) > 1:
        raise UnreadableBody("The request's body has the key `model` twice.")
    _expect_end(body, at)
    return models[0] if models else None


def _member(body: bytes, at: int) -> tuple[_Token, str | None]:
    """Read ``"key": value`` and what follows; return the comma or brace after it, and the value when the key is ``model``."""
    key = _next(body, at)
    colon = _next(body, key.end) if key is not None and key.is_string else None
    value = _next(body, colon.end) if colon is not None and colon.text == b":" else None
    if key is None or value is None:
        raise _broken(at)
    after = _next(body, _skip(body, value))
    if after is None or after.text not in {b",", b"}"}:
        raise _broken(value.end)
    if _decoded(key) != "model":
        return after, None
    if not value.is_string:
        raise UnreadableBody("The request's `model` is not a string.")
    return after, _decoded(value)


def _next(body: bytes, at: int) -> _Token | None:
    found = _TOKEN.match(body, at)
    if found is None:
        return None
    kind = found.lastindex or 0
    return _Token(text=found[kind], end=found.end(), is_string=kind == 1, is_scalar=kind == 3)


def _skip(body: bytes, value: _Token) -> int:
    """Return where ``value`` ends; for an object or array its matching bracket is looked for."""
    if value.is_string or value.is_scalar:
        return value.end
    if value.text not in _OPENERS:
        raise _broken(value.end)
    expected = [_OPENERS[value.text]]
    at = value.end
    seen = 0
    while expected:
        seen += 1
        if seen > _MOST_NESTED:
            raise UnreadableBody(f"The request's body has more than {_MOST_NESTED} nested strings and brackets.")
        found = _INSIDE.search(body, at)
        if found is None or found[0] == b'"':  # a lone quote begins a string that does not end well
            raise _broken(at)
        at = found.end()
        closing = _OPENERS.get(found[0])
        if closing is not None:
            expected.append(closing)
        elif found[0] in {b"}", b"]"} and expected.pop() != found[0]:
            raise _broken(at)
    return at


def _decoded(token: _Token) -> str:
    try:
        return str(json.loads(token.text))
    except ValueError:
        raise _broken(token.end) from None


def _expect_end(body: bytes, at: int) -> None:
    if _SPACE.match(body, at) is None:
        raise UnreadableBody(f"The request's body goes on after its JSON object (byte {at}).")


def _broken(at: int) -> UnreadableBody:
    return UnreadableBody(f"The request's body is not valid JSON near byte {at}.")
