"""What must be seen in a stream of server-sent events while its bytes pass: an error, the end, the tokens. Pure.

Nothing is parsed on the way: three searches per chunk, over the chunk and the unfinished line before it, so an event
may be cut anywhere. Only a line that has the word is looked at closer. JSON escapes quotes and line breaks within
strings, so that ``"error"`` in quotes, and anything at a line's beginning, is the engine's and never a model's text.

Source: HTML, 9.2.6 (lines end with CRLF, LF or CR; a space after the colon is optional). Errors are told as
``event: error`` (Anthropic, SGLang), ``data: {"error": ...}`` (OpenAI, vLLM), ``{"object": "error"}`` (older vLLM),
``{"type": "error"}``, ``response.failed`` (OpenAI's responses) or ``error: ...`` (llama.cpp).
"""

import re
from typing import NamedTuple

import orjson

_LONGEST_LINE = 64 << 10
_KEPT_OF_LONG = 256  # its beginning says what the line is
_KEPT_OF_USAGE = 1 << 10
_LINE_END = re.compile(rb"\r\n|\n|\r")
_DONE = re.compile(rb"(?:\A|[\r\n])data: *\[DONE\][ \t]*(\r\n|\n|\r|\Z)(\r\n|\n|\r)?")
_BLANK = re.compile(rb"\r\n|\n|\r")
_BLANK_AFTER_CR = re.compile(rb"\n?+(?:\r\n|\n|\r)")
_BETWEEN = (b"\n\n", b"\r\r", b"\n\r\n", b"\n\r", b"\r\n\n")
_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_ERROR_MEMBER = re.compile(rb'[{,\s]*"(?:error"\s*:\s*(?!null|""|\{\s*\})|(?:object|type)"\s*:\s*"error")')
_PROMPT = re.compile(rb'"(?:prompt|input)_tokens"\s*:\s*([0-9]{1,12})')
_COMPLETION = re.compile(rb'"(?:completion|output)_tokens"\s*:\s*([0-9]{1,12})')
_FAILURES = frozenset({"error", "response.failed"})


class Usage(NamedTuple):
    """What an answer says it cost in tokens; None where it does not tell."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class EventWatch:
    """Feed it every chunk of one stream, in order.

    ``ends`` are the types of events, as their data tells them, after which nothing more need come, beside ``[DONE]``.
    ``excess``: once ``is_done``, how many bytes of the last chunk came after the event that said so.
    """

    __slots__ = (
        "_end_mark",
        "_ends",
        "_has_done_line",
        "_rest",
        "_tail",
        "_usages",
        "excess",
        "has_end",
        "has_error",
        "is_done",
    )

    def __init__(self, ends: frozenset[str] = frozenset()) -> None:
        self.has_error = False
        self.is_done = False
        self.has_end = False
        self.excess = 0
        self._ends = ends
        self._end_mark = re.compile(b"|".join(re.escape(end).encode() for end in sorted(ends))) if ends else None
        self._rest = b""
        self._tail = b""
        self._usages: list[bytes] = []
        self._has_done_line = False

    def feed(self, chunk: bytes) -> None:
        """Note the next bytes of the stream."""
        window = self._rest + chunk if self._rest else chunk
        if self._has_done_line and not self.is_done:
            self._look_for_blank(chunk)
        self._tail = chunk[-4:] if len(chunk) > 3 else (self._tail + chunk)[-4:]
        if b"[DONE]" in window:
            self._look_for_done(window)
        if b"error" in window or (self._end_mark is not None and self._end_mark.search(window) is not None):
            self._look_closer(window)
        if b'"usage"' in window:
            self._keep_usage(window)
        if self._has_done_line and not self.is_done:
            self.is_done = self.is_between_events
        self._rest = b"" if chunk.endswith(b"\n") else _unfinished(window)

    @property
    def is_between_events(self) -> bool:
        """Whether what came so far ends where an event ends, so that another may follow."""
        return not self._tail or self._tail.endswith(_BETWEEN)

    def finish(self) -> None:
        """Take the last line for one, though nothing ended it."""
        if self._rest:
            self.feed(b"\n")
        self.is_done = self.is_done or self._has_done_line

    @property
    def usage(self) -> Usage:
        """The tokens: the last that were told of each kind."""
        return told_usage(self._usages)

    def _look_for_done(self, window: bytes) -> None:
        match = _DONE.search(window)
        if match is not None and match[1]:
            self._has_done_line = True
            if match[2] and not self.is_done:
                self.is_done = True
                self.excess = len(window) - match.end()

    def _look_for_blank(self, chunk: bytes) -> None:
        """Look whether a chunk begins with the empty line that ends the last event."""
        match = (_BLANK_AFTER_CR if self._tail.endswith(b"\r") else _BLANK).match(chunk)
        if match is not None:
            self.is_done = True
            self.excess = len(chunk) - match.end()

    def _look_closer(self, window: bytes) -> None:
        """Look at each whole line; the unfinished one comes again."""
        for line in _LINE_END.split(window)[:-1]:
            field, _, value = line.partition(b":")
            kind = _kind_of(field, value.strip()) if field in {b"data", b"event", b"error"} else ""
            self.has_error = self.has_error or kind in _FAILURES
            self.has_end = self.has_end or (field == b"data" and kind in self._ends)

    def _keep_usage(self, window: bytes) -> None:
        """Keep the first and the last: Anthropic's tell the prompt in the one, the completion in the other."""
        for match in _USAGE.finditer(window):
            kept = window[match.start() : match.start() + _KEPT_OF_USAGE]
            self._usages[1:] = [kept] if self._usages else []
            self._usages = self._usages or [kept]


def told_usage(pieces: list[bytes]) -> Usage:
    """Return the tokens that pieces of JSON tell, the later before the earlier."""
    prompt = completion = None
    for piece in pieces:
        if (match := _PROMPT.search(piece)) is not None:
            prompt = int(match[1])
        if (match := _COMPLETION.search(piece)) is not None:
            completion = int(match[1])
    return Usage(prompt, completion)


def last_usage(tail: bytes) -> list[bytes]:
    """Return the last ``usage`` object that the end of a plain JSON answer has, to its end."""
    at = len(tail)
    while (at := tail.rfind(b'"usage"', 0, at)) >= 0:
        if _USAGE.match(tail, at) is not None:
            return [tail[at : at + _KEPT_OF_USAGE]]
    return []


def _unfinished(window: bytes) -> bytes:
    """Return the line that has no end yet; of a very long one only its beginning."""
    rest = window[max(window.rfind(b"\n"), window.rfind(b"\r")) + 1 :]
    return rest if len(rest) <= _LONGEST_LINE else rest[:_KEPT_OF_LONG]


def _kind_of(field: bytes, value: bytes) -> str:
    """Return the type of the event that a line tells, ``error`` for an error in any spelling, else empty."""
    if field != b"data":
        return "error" if field == b"error" else value.decode("latin-1")
    if not value or value == b"[DONE]":
        return ""
    try:
        content = orjson.loads(value)
    except orjson.JSONDecodeError:  # one of several lines, or what is left of a long one
        return "error" if _ERROR_MEMBER.match(value) is not None else ""
    if not isinstance(content, dict):
        return ""
    if content.get("error") or content.get("object") == "error":
        return "error"
    return str(content.get("type", ""))
