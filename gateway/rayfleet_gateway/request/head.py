"""A request's head, checked so that nobody behind reads it differently: the strictness on top of llhttp. Pure.

llhttp (httptools, never lenient) refuses what is no HTTP/1.x: bare CR and LF, NUL, folded lines, spaces before a colon,
a second Content-Length, Content-Length with Transfer-Encoding, signs and letters in lengths. Here is refused what it
lets pass: HTTP/0.9, a second or unfit Host, codings other than one ``chunked``, names with ``_`` (CGI-like readers take
them for ``-``), targets in another form than the origin's, raw or escaped control characters, and dot segments. Checks
that llhttp makes too are made again where they cost nothing.

Source: RFC 9112, 3.2, 6.1 and 6.3; RFC 9110, 7.2 and 10.1.1.
"""

import re
from functools import lru_cache
from http import HTTPStatus
from string import ascii_letters, digits
from typing import NoReturn
from urllib.parse import unquote_to_bytes

from rayfleet_gateway.model.errors import HeadRefused
from rayfleet_gateway.model.values import RequestHead

METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})

_NAME_BYTES = bytes(set(b"!#$%&'*+-.^`|~") | set(digits.encode()) | set(ascii_letters.encode()))  # without ``_``
_VALUE_BYTES = bytes({0x09, *range(0x20, 0x7F), *range(0x80, 0x100)})
_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._~%!$&'()*+;=-]{1,255})(?::[0-9]{0,5})?", re.IGNORECASE)
_TARGET = re.compile(rb"/[!$&-;=?-Z\[\]^_`a-z{|}~]*+(?:%[0-9A-Fa-f]{2}[!$&-;=?-Z\[\]^_`a-z{|}~]*+)*+")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)", re.IGNORECASE)
_LENGTH = re.compile(r"[0-9]{1,18}")
_DOT_SEGMENT = re.compile(r"(?:\A|/)\.{1,2}(?:/|\Z)")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\\]")


def checked_head(
    method: bytes, target: bytes, headers: list[tuple[bytes, bytes]], *, version: str, is_keep_alive: bool
) -> RequestHead:
    """Return the head that a parser read, ``version`` as ``1.1``. Raises HeadRefused; close the connection then."""
    if version not in {"1.1", "1.0"}:
        _refuse(
            f"HTTP/{version[:8]} is not spoken here.",
            HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
            "http_version_not_supported",
        )
    if method not in METHODS:
        _refuse("The request's method is not one of this gateway's.", HTTPStatus.NOT_IMPLEMENTED, "not_implemented")
    joined = _joined(headers)
    is_http_10 = version == "1.0"
    host = _host(joined.get("host"), is_http_10=is_http_10)
    if target[:1] != b"/":
        target = _origin_form(target, joined.get("host", ""))
    path, query = _path_and_query(target)
    expectation = joined.get("expect")
    if expectation is not None and expectation.lower() != "100-continue":
        _refuse(
            f"Nothing is known of `Expect: {expectation[:40]}`.", HTTPStatus.EXPECTATION_FAILED, "expectation_failed"
        )
    return RequestHead(
        method=method.decode(),
        target=target,
        path=path,
        query=query,
        host=host,
        headers=tuple(headers),
        joined=joined,
        length=_length(joined, is_http_10=is_http_10),
        is_keep_alive=is_keep_alive and "upgrade" not in joined,
        is_http_10=is_http_10,
        expects_continue=expectation is not None and not is_http_10,
    )


def has_dot_segment(path: str) -> bool:
    """Whether a decoded path climbs, or may: one reader would, another would not."""
    return "/." in path and _DOT_SEGMENT.search(path) is not None


def _joined(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return each header once, names in lower case; several of a name become one (RFC 9110, 5.3).

    All names, and all values, are looked at in one piece: without what they may have, only our line breaks are left.
    """
    if not headers:
        return {}
    names = b"\n".join([name for name, _ in headers])
    values = b"\n".join([value for _, value in headers])
    breaks = b"\n" * (len(headers) - 1)
    if names.translate(None, _NAME_BYTES) != breaks:
        _refuse("A header's name has characters that it may not have (`_` is one of them).")
    if values.translate(None, _VALUE_BYTES) != breaks:
        _refuse("A header's value has control characters.")
    pairs = zip(names.decode().lower().split("\n"), values.decode("latin-1").split("\n"), strict=True)
    joined = dict(pairs)
    if len(joined) != len(headers):
        joined = _repeated(headers)
    if "" in joined:
        _refuse("A header has no name.")
    return joined


def _repeated(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers of a head that has some more than once."""
    joined: dict[str, str] = {}
    for name, value in headers:
        lower, text = name.decode().lower(), value.decode("latin-1")
        joined[lower] = f"{joined[lower]}, {text}" if lower in joined else text
    return joined


def _host(value: str | None, *, is_http_10: bool) -> str:
    """Return the host in lower case, without its port; empty for an HTTP/1.0 request without one."""
    if value is None:
        if is_http_10:
            return ""
        _refuse("The request has no Host.")
    return _plain_host(value)


@lru_cache(maxsize=256)
def _plain_host(value: str) -> str:
    match = _HOST.fullmatch(value)  # two of them are joined by a comma, which no host has
    if match is None:
        _refuse("The request's Host is not one host with an optional port.")
    return match[1].lower()


def _origin_form(target: bytes, host: str) -> bytes:
    """Return an absolute target in origin form; its host must be the Host, whichever of them is read behind."""
    match = _ABSOLUTE.match(target)
    if match is None:
        _refuse("The request's target is not a path.")
    if match[1].decode("latin-1").lower() != host.lower():
        _refuse("The request's target and its Host name different hosts.")
    rest = target[match.end() :]
    return rest if rest[:1] == b"/" else b"/" + rest


def _path_and_query(target: bytes) -> tuple[str, str]:
    """Return the decoded path, and the query as it came."""
    if _TARGET.fullmatch(target) is None:
        _refuse("The request's target has characters that must be percent-encoded, or a broken escape.")
    raw, _, query = target.partition(b"?")
    path = raw.decode()
    if b"%" in raw:
        try:
            path = unquote_to_bytes(raw).decode()
        except UnicodeDecodeError:
            _refuse("The request's path is not UTF-8.")
        if _CONTROLS.search(path) is not None:
            _refuse("The request's path has control characters.")
    if has_dot_segment(path):
        _refuse(f"No route serves {path[:200]}: it has dot segments.", HTTPStatus.NOT_FOUND, "path_not_found")
    return path, query.decode()


def _length(joined: dict[str, str], *, is_http_10: bool) -> int | None:
    """Return the body's length, None when it is chunked."""
    coding, length = joined.get("transfer-encoding"), joined.get("content-length")
    if coding is not None:
        if length is not None:
            _refuse("The request has both Content-Length and Transfer-Encoding.")
        if is_http_10 or coding.lower() != "chunked":
            _refuse("The request's Transfer-Encoding is not `chunked` once, in HTTP/1.1.")
        return None
    if length is None:
        return 0
    if _LENGTH.fullmatch(length) is None:
        _refuse("The request's Content-Length is not one number.")
    return int(length)


def _refuse(message: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST, code: str = "invalid_request_error") -> NoReturn:
    raise HeadRefused(status, code, message)
