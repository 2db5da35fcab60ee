"""Which model a request asks for, read from the raw bytes of its body. Pure.

The body is scanned by depth and never built: a prompt of a megabyte is one jump. Only the top level counts; a second
``model`` key, however it is escaped, is refused, because two parsers may choose differently (and the one that checks is
not the one that serves). What lies below the top level is the engine's to check, except that it must end. Bodies made
to be slow are refused: the scan runs in the loop that all streams share (a megabyte of prose: 0.1 ms, of escapes: 5 ms;
200,000 nested values: 90 ms).
"""

import json
import re
from typing import NamedTuple

from rayfleet_gateway.model.errors import UnreadableBody

_TOKEN = re.compile(rb"[ \t\r\n]*(?:([\"{}\[\]:,])|[^\s\"{}\[\]:,]+)")
_STRUCTURE = re.compile(rb'[{}\[\]"]')
# From within a string to its end. Possessive: one that does not end costs one pass.
_STRING_END = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n]*\Z")
_OPENERS = {b"{": b"}", b"[": b"]"}
_QUICK_LOOKS = 4
_MOST_KEYS = 1000
_MOST_NESTED = 200_000
_LONGEST_NAME = 512
_LONGEST_VALUE = 12 * _LONGEST_NAME + 2  # every character written as a surrogate pair of escapes
_LONGEST_KEY = len(r'"\u006d\u006f\u0064\u0065\u006c"')


class _Token(NamedTuple):
    """``kind`` is the punctuation itself, a quote for a whole string, empty for a number or word."""

    kind: bytes
    start: int
    end: int


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
        raise _long_name()
    return chosen


def body_model(body: bytes) -> str | None:
    """Return the top-level ``model`` of a JSON object, None when it has none. Raises UnreadableBody."""
    token = _next(body, 0)
    if token is None or token.kind != b"{":
        raise UnreadableBody("The request's body is not a JSON object.")
    models: list[str] = []
    at, keys = token.end, 0
    closing = _next(body, at)
    if closing is not None and closing.kind == b"}":
        _expect_end(body, closing.end)
        return None
    while token.kind != b"}":
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
    """Read ``"key": value`` and what follows.

    Return the comma or brace after it, and the value when the key is ``model``.
    """
    key = _next(body, at)
    colon = _next(body, key.end) if key is not None and key.kind == b'"' else None
    value = _next(body, colon.end) if colon is not None and colon.kind == b":" else None
    if key is None or value is None:
        raise _broken(at)
    after = _next(body, _skip(body, value))
    if after is None or after.kind not in {b",", b"}"}:
        raise _broken(value.end)
    if not _is_model(body, key):
        return after, None
    if value.kind != b'"':
        raise UnreadableBody("The request's `model` is not a string.")
    if value.end - value.start > _LONGEST_VALUE:
        raise _long_name()
    return after, _decoded(body[value.start : value.end])


def _next(body: bytes, at: int) -> _Token | None:
    match = _TOKEN.match(body, at)
    if match is None:
        return None
    kind = match[1] or b""
    if kind == b'"':
        return _Token(kind, match.end() - 1, _string_end(body, match.end()))
    return _Token(kind, match.start(), match.end())


def _string_end(body: bytes, at: int) -> int:
    """Return the place after the string that ``at`` lies in.

    Prose has its quote found at the speed of memchr; text full of escapes (code, JSON) goes to the expression, at some
    2 ns a byte.
    """
    for _ in range(_QUICK_LOOKS):
        quote = body.find(b'"', at)
        if quote < 0:
            raise _broken(at)
        if body[quote - 1] != 0x5C or quote == at:  # no backslash before it
            return quote + 1
        if body.find(b"\\", at, quote - 1) >= 0:
            break  # which backslash escapes which is for the expression to say
        at = quote + 1
    match = _STRING_END.match(body, at)
    if match is None:
        raise _broken(at)
    return match.end()


def _skip(body: bytes, value: _Token) -> int:
    """Return where ``value`` ends; for an object or array its matching bracket is looked for."""
    if value.kind in {b'"', b""}:
        return value.end
    if value.kind not in _OPENERS:
        raise _broken(value.end)
    expected = [_OPENERS[value.kind]]
    at, seen = value.end, 0
    while expected:
        seen += 1
        if seen > _MOST_NESTED:
            raise UnreadableBody(f"The request's body has more than {_MOST_NESTED} nested strings and brackets.")
        match = _STRUCTURE.search(body, at)
        if match is None:
            raise _broken(at)
        kind, at = match[0], match.end()
        if kind == b'"':
            at = _string_end(body, at)
        elif kind in _OPENERS:
            expected.append(_OPENERS[kind])
        elif expected.pop() != kind:
            raise _broken(at)
    return at


def _is_model(body: bytes, key: _Token) -> bool:
    text = body[key.start : key.end]
    return text == b'"model"' or (b"\\" in text and len(text) <= _LONGEST_KEY and _decoded(text) == "model")


def _decoded(text: bytes) -> str:
    try:
        return str(json.loads(text.decode()))  # decoded first: json would guess UTF-16 from a zero byte
    except ValueError:
        raise UnreadableBody(f"The string {text[:40]!r} in the request's body is not valid JSON.") from None


def _expect_end(body: bytes, at: int) -> None:
    if _SPACE.match(body, at) is None:
        raise UnreadableBody(f"The request's body goes on after its JSON object (byte {at}).")


def _long_name() -> UnreadableBody:
    return UnreadableBody(f"The name of the model is longer than {_LONGEST_NAME} characters.")


def _broken(at: int) -> UnreadableBody:
    return UnreadableBody(f"The request's body is not valid JSON near byte {at}.")
