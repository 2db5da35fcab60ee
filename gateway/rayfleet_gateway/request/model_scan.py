"""The ``model`` of a JSON body, read from its raw bytes in slices. Pure.

The body is scanned by depth and never built: a prompt of a megabyte is one jump. Only the top level counts; a second
``model`` key, however it is escaped, is refused, because two parsers may choose differently (and the one that checks is
not the one that serves). What lies below the top level is the engine's to check, except that it must end.

The scan runs in the loop that all streams share, so it is cut into slices: each looks at no more than ``SLICE_STEPS``
strings and brackets, and runs expressions over no more than ``SLICE_BYTES`` (some 2 ms each). What is free of quotes
and backslashes costs nothing to speak of (31 MB: 2 ms) and is not cut. Bodies made to be slow are refused.
"""

import json
import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

import orjson

from rayfleet_gateway.model.errors import AmbiguousModel, UnreadableBody

SLICE_BYTES = 256 << 10
SLICE_STEPS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanLimits:
    """``keys``: of the body's own, ``nested``: strings and brackets below them, ``name``: characters of a model's."""

    keys: int = 1000
    nested: int = 200_000
    name: int = 512


T = TypeVar("T")
LIMITS = ScanLimits()
_SPACE = rb"[ \t\r\n]*+"
_START = re.compile(_SPACE + rb"\{" + _SPACE + rb"(\}?)")
_KEY = re.compile(_SPACE + rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")' + _SPACE + rb":" + _SPACE, re.DOTALL)
_SCALAR = re.compile(rb"[^\s\"{}\[\]:,]{1,4096}+")
_AFTER = re.compile(_SPACE + rb"([,}])")
_END = re.compile(_SPACE + rb"\Z")
_NAME = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_STRUCTURE = re.compile(rb'[{}\[\]"]')
_IN_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_CLOSERS = {0x7B: 0x7D, 0x5B: 0x5D}
_QUOTE = 0x22
_LONGEST_RUN = 64 << 10  # of a key, or of spaces: longer ones have no use but to take time
_LONGEST_KEY = len(r'"\u006d\u006f\u0064\u0065\u006c"')
_ESCAPE_BYTES = 12  # a character written as a surrogate pair of escapes


def scanned(body: bytes, limits: ScanLimits = LIMITS) -> Generator[None, None, str | None]:
    """Yield between slices; return the top-level ``model`` of a JSON object, None when it has none.

    Raises UnreadableBody.
    """
    start = _START.match(body, 0, _LONGEST_RUN)
    if start is None:
        raise UnreadableBody("The request's body is not a JSON object.")
    cursor = _Cursor(body, start.end(), limits)
    models: list[str] = []
    keys, closing = 0, start[1]
    while closing != b"}":
        key = _KEY.match(body, cursor.at, cursor.at + _LONGEST_RUN)
        if key is None:
            raise _broken(cursor.at)
        cursor.at = key.end()
        if _is_model(key[1]):
            models.append(cursor.name())
        else:
            cursor.enter()
            while not cursor.run():
                yield
        closing = cursor.after()
        keys += 1
        if keys > limits.keys:
            raise _many_keys(limits)
    if len(models) > 1:
        raise AmbiguousModel("The request's body has the key `model` twice.")
    cursor.expect_end()
    return models[0] if models else None


def quick_model(body: bytes, limits: ScanLimits = LIMITS) -> tuple[str | None] | None:
    r"""Return what ``scanned`` returns, as a tuple, where one pass of a parser is sure of it; None where it is not.

    The parser takes the last of two keys: so there is at most one ``"model"`` in the whole body, and nothing escaped
    that could be a letter of it (``\u006`` begins m, o, d, e and l alike).
    """
    named = body.count(b'"model"')
    if named > 1 or b"\\u006" in body:
        return None
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(content, dict) or len(content) > limits.keys:
        return None
    model = content.get("model")
    if isinstance(model, str):
        return (model,) if len(model) <= limits.name else None
    return None if named else (None,)


def at_once(scan: Generator[None, None, T]) -> T:
    """Return what a scan in slices comes to, without a stop."""
    while True:
        try:
            next(scan)
        except StopIteration as end:
            value: T = end.value
            return value


def agreed_model(header: str | None, named: str | None, limits: ScanLimits = LIMITS) -> str:
    """Return the model that header and body agree on; raises UnreadableBody when they differ or neither names one."""
    if header is not None and named is not None and header != named:
        raise UnreadableBody(f"The header `model` says {header[:100]!r}, the body {named[:100]!r}; they must agree.")
    chosen = header if named is None else named
    if not chosen:
        raise UnreadableBody("The request names no model: set `model` in the body, or the header `model`.")
    if len(chosen) > limits.name:
        raise _long_name(limits)
    return chosen


class _Cursor:
    """A place in a body, and the brackets that are open there."""

    __slots__ = ("_body", "_budget", "_closers", "_is_in_string", "_limits", "_quote", "_seen", "at")

    def __init__(self, body: bytes, at: int, limits: ScanLimits) -> None:
        self._body = body
        self._limits = limits
        self._closers = bytearray()
        self._is_in_string = False
        self._quote = -1
        self._seen = 0
        self._budget = SLICE_STEPS
        self.at = at

    def enter(self) -> None:
        """Step into the value that begins here; one without quotes or brackets is passed whole."""
        first = self._body[self.at : self.at + 1]
        self._seen = 0
        if first == b'"':
            self._is_in_string = True
            self.at += 1
        elif first in {b"{", b"["}:
            self._closers.append(_CLOSERS[first[0]])
            self.at += 1
        else:
            scalar = _SCALAR.match(self._body, self.at)
            if scalar is None:
                raise _broken(self.at)
            self.at = scalar.end()

    def run(self) -> bool:
        """Go on within the value for one slice at most; whether its end is passed."""
        until = self.at + SLICE_BYTES
        while self._is_in_string or self._closers:
            self._budget -= 1
            if self._budget < 0 or self.at >= until:
                self._budget = SLICE_STEPS
                return False
            if self._is_in_string:
                until = self._leave_string(until)
            else:
                self._step(until)
        return True

    def name(self) -> str:
        """Return the string that is the model's name, and pass it."""
        body, longest = self._body, _ESCAPE_BYTES * self._limits.name + 2
        if body[self.at : self.at + 1] != b'"':
            raise UnreadableBody("The request's `model` is not a string.")
        match = _NAME.match(body, self.at, self.at + longest)
        if match is None:
            raise _long_name(self._limits) if len(body) - self.at > longest else _broken(self.at)
        self.at = match.end()
        return _decoded(match[0])

    def after(self) -> bytes:
        """Return the comma or brace that follows a member, and pass it."""
        match = _AFTER.match(self._body, self.at, self.at + _LONGEST_RUN)
        if match is None:
            raise _broken(self.at)
        self.at = match.end()
        return match[1]

    def expect_end(self) -> None:
        """Raise UnreadableBody unless only spaces follow."""
        if len(self._body) - self.at > _LONGEST_RUN or _END.match(self._body, self.at) is None:
            raise UnreadableBody(f"The request's body goes on after its JSON object (byte {self.at}).")

    def _leave_string(self, until: int) -> int:
        """Go to the string's end, or as far as the slice goes; return the slice's end, moved by what cost nothing."""
        body, at = self._body, self.at
        if self._quote < at:  # remembered, since a string of escapes alone is come back to in every slice
            self._quote = body.find(b'"', at)
        quote = self._quote
        if quote < 0:
            raise _broken(at)
        escape = body.find(b"\\", at, quote)
        if escape < 0:
            self._is_in_string = False
            self.at = quote + 1
            return until + quote - at
        until += escape - at
        match = _IN_STRING.match(body, escape, until + 1)  # one escape at least, or the slice would stand still
        end = escape if match is None else match.end()
        if body[end : end + 1] == b'"':
            self._is_in_string = False
            end += 1
        elif end >= len(body) - 1:
            raise _broken(at)
        self.at = end
        return until

    def _step(self, until: int) -> None:
        """Pass the next bracket, or step into the next string."""
        match = _STRUCTURE.search(self._body, self.at, until)
        if match is None:
            if until >= len(self._body):
                raise _broken(self.at)
            self.at = until
            return
        self._seen += 1
        if self._seen > self._limits.nested:
            raise UnreadableBody(f"The request's body has more than {self._limits.nested} nested strings and brackets.")
        kind, self.at = self._body[match.start()], match.end()
        if kind == _QUOTE:
            self._is_in_string = True
        elif kind in _CLOSERS:
            self._closers.append(_CLOSERS[kind])
        elif self._closers.pop() != kind:
            raise _broken(self.at)


def _is_model(key: bytes) -> bool:
    return key == b'"model"' or (b"\\" in key and len(key) <= _LONGEST_KEY and _decoded(key) == "model")


def _decoded(text: bytes) -> str:
    try:
        return str(json.loads(text.decode()))  # decoded first: json would guess UTF-16 from a zero byte
    except ValueError:
        raise UnreadableBody(f"The string {text[:40]!r} in the request's body is not valid JSON.") from None


def _many_keys(limits: ScanLimits) -> UnreadableBody:
    return UnreadableBody(f"The request's body has more than {limits.keys} keys.")


def _long_name(limits: ScanLimits) -> UnreadableBody:
    return UnreadableBody(f"The name of the model is longer than {limits.name} characters.")


def _broken(at: int) -> UnreadableBody:
    return UnreadableBody(f"The request's body is not valid JSON near byte {at}.")
