"""Heads as llhttp reads them, never lenient; what it lets pass is for ``request.head`` and ``answer.head`` to refuse.

A head is handed over whole, so where it ends was seen before; a parser that saw more, or less, is an error.
"""

import re
from http import HTTPStatus

import httptools

from rayfleet_gateway.answer import refusals
from rayfleet_gateway.answer.head import BODYLESS, AnswerHead, read
from rayfleet_gateway.answer.refusals import Refusal
from rayfleet_gateway.model.errors import BrokenOff, HeadRefused
from rayfleet_gateway.model.values import RequestHead
from rayfleet_gateway.request.head import checked_head

END = b"\r\n\r\n"
MOST_FIELDS = 100
_NO_METHOD = re.compile(rb"[^A-Za-z\r\n]")
_BARE_LINE_END = re.compile(rb"(?<!\r)\n")
_NOT_HTTP = "The request is not HTTP/1.1: it is another protocol, or a line of it does not end with CRLF."
_LENGTH = b"\r\ncontent-length: "
_MOST_DIGITS = 15
_MOST_KNOWN = 64
_LONGEST_KNOWN = 1 << 10


class _Sink:
    """What the parser calls back.

    ``is_kept``: whether the connection can be used again, which llhttp knows at the end of the head alone: a message
    without a body is over in the same step, and then it says of every connection that it can.
    """

    __slots__ = ("headers", "is_kept", "is_whole", "parser", "reason", "url")

    def __init__(self) -> None:
        self.parser: httptools.HttpRequestParser | httptools.HttpResponseParser | None = None
        self.is_kept = False
        self.url = b""
        self.reason = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.is_whole = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_status(self, reason: bytes) -> None:
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.is_whole = True
        assert self.parser is not None
        self.is_kept = self.parser.should_keep_alive()


def refusal_of_begun(begun: bytes, searched: int, limit_bytes: int) -> Refusal | None:
    """Return why a head that is not whole can be none, None as long as it may; to ``searched`` it was looked at before.

    Nobody has to wait for the end of what has none: another protocol, or lines that end with LF alone.
    """
    if len(begun) > limit_bytes:
        is_long_line = begun.find(b"\r\n", 2, limit_bytes) < 0
        return refusals.uri_too_long(limit_bytes) if is_long_line else refusals.head_too_large(limit_bytes, MOST_FIELDS)
    if _NO_METHOD.match(begun) or _BARE_LINE_END.search(begun, max(0, searched - 1)):
        return refusals.of_head(HeadRefused(HTTPStatus.BAD_REQUEST, "invalid_request_error", _NOT_HTTP))
    return None


def request_head(head: bytes) -> RequestHead:
    """Return a request's head; ``head`` ends with its empty line. Raises HeadRefused."""
    sink = _Sink()
    parser = sink.parser = httptools.HttpRequestParser(sink)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        pass  # the head is whole; what it wants to become is not done here
    except httptools.HttpParserInvalidMethodError:
        raise HeadRefused(HTTPStatus.BAD_REQUEST, "invalid_request_error", "The request has no known method.") from None
    except httptools.HttpParserError as error:
        message = f"The request is not HTTP/1.1: {error}."
        raise HeadRefused(HTTPStatus.BAD_REQUEST, "invalid_request_error", message) from None
    finally:
        sink.parser = None  # or the two would wait for the collector of circles
    if not sink.is_whole:
        raise HeadRefused(HTTPStatus.BAD_REQUEST, "invalid_request_error", "The request is not HTTP/1.1.")
    if len(sink.headers) > MOST_FIELDS:
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        raise HeadRefused(status, "head_too_large", f"The request has over {MOST_FIELDS} fields.")
    return checked_head(
        parser.get_method(),
        sink.url,
        sink.headers,
        version=parser.get_http_version(),
        is_keep_alive=sink.is_kept,
    )


def answer_head(head: bytes, *, method: str) -> tuple[AnswerHead, bool]:
    """Return an answer's head, and whether its connection can be used again. Raises BrokenOff: it is not HTTP."""
    sink = _Sink()
    parser = sink.parser = httptools.HttpResponseParser(sink)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        raise BrokenOff("its answer is an upgrade that nobody asked for") from None
    except httptools.HttpParserError as error:
        raise BrokenOff(f"its answer is not HTTP ({error})") from None
    finally:
        sink.parser = None
    if not sink.is_whole:
        raise BrokenOff("its answer is not HTTP")
    answer = read(parser.get_status_code(), sink.reason, sink.headers, method=method)
    return answer, sink.is_kept


class AnswerHeads:
    """Reads heads of answers. One that differs from an earlier one in its length alone is not parsed again.

    Engines say the same in every head, but for the length and, each second, the date. What is kept is bounded, and all
    of it forgotten when that is full.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[AnswerHead, bool]] = {}

    def read(self, raw: bytes, *, method: str) -> tuple[AnswerHead, bool]:
        """Return what ``answer_head`` returns, or raise what it raises."""
        key, length = _without_length(raw) if len(raw) <= _LONGEST_KNOWN else (b"", None)
        if method == "HEAD" or not key:
            return answer_head(raw, method=method)
        known = self._known.get(key)
        if known is not None:
            return known if length is None else (known[0].with_length(length), known[1])
        known = answer_head(raw, method=method)
        if known[0].status not in BODYLESS:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[key] = known
        return known


def _without_length(raw: bytes) -> tuple[bytes, int | None]:
    """Return a head without the digits of its length, and the length; the whole of it, and None, where it has none.

    Nothing where it is not plain digits: a head without any must not be taken for one whose digits were taken out. Nor
    where it is 0: then the head is all of the message, of which llhttp says nothing any more.
    """
    at = raw.lower().find(_LENGTH)
    if at < 0:
        return raw, None
    at += len(_LENGTH)
    end = raw.find(b"\r", at)
    digits = raw[at:end]
    length = int(digits) if digits.isdigit() and len(digits) <= _MOST_DIGITS else 0
    return (raw[:at] + raw[end:], length) if length else (b"", None)
