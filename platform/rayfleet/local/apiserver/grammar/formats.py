"""The formats of strings that a schema can ask for (``format: date-time``), as Kubernetes' ``strfmt`` checks them.

Pure.

A format that is not in the table is not checked, as Kubernetes does. ISBN, credit card, SSN and colours are checked by
their letters only.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date
from urllib.parse import urlsplit

_DURATION_UNITS = "ns|us|µs|μs|ms|s|m|h|d|w"
_DURATION = re.compile(
    rf"[+-]?(?:0|(?:\d+(?:\.\d*)?|\.\d+)(?:{_DURATION_UNITS})"
    rf"(?:(?:\d+(?:\.\d*)?|\.\d+)(?:{_DURATION_UNITS}))*)"
    r"|\d+\s*(?:ns|nanos?|nanoseconds?|us|micros?|microseconds?|ms|millis?|milliseconds?|s|secs?|seconds?"
    r"|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)",
    re.ASCII,
)
_DATE_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d):(\d\d):(\d\d|60)(?:\.\d+)?(?:[Zz]|[+-]\d\d:?\d\d)?", re.ASCII)
_HOST = re.compile(
    r"[a-zA-Z0-9\u00a1-\uffff](?:[a-zA-Z0-9\u00a1-\uffff-]{0,62}[a-zA-Z0-9\u00a1-\uffff])?"
    r"(?:\.[a-zA-Z0-9\u00a1-\uffff](?:[a-zA-Z0-9\u00a1-\uffff-]{0,62}[a-zA-Z0-9\u00a1-\uffff])?)*"
)
_EMAIL = re.compile(r"(?:[^<>@]*<)?[^\s@<>]+@[^\s@<>]+>?")
_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"


def is_of_format(text: str, name: str) -> bool:
    """Whether ``text`` is what ``format: name`` asks for; always, when the format is unknown."""
    check = _CHECKS.get(name.replace("-", ""))
    return check is None or check(text)


def _is_date(text: str) -> bool:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_date_time(text: str) -> bool:
    parts = _DATE_TIME.fullmatch(text)
    if parts is None or not _is_date(parts.group(1)):
        return False
    return int(parts.group(2)) < 24 and int(parts.group(3)) < 60


def _is_bytes(text: str) -> bool:
    try:
        base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except binascii.Error:
        return False
    return True


def _is_uri(text: str) -> bool:
    """As Go's ``url.ParseRequestURI``: absolute, or a path from the root."""
    if not text or re.search(r"[\s\x00-\x1f\x7f]", text):
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme) or text.startswith("/")


def _is_address(version: int) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            return ipaddress.ip_address(text).version == version
        except ValueError:
            return False

    return check


def _is_cidr(text: str) -> bool:
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return "/" in text and text.rpartition("/")[2].isdigit()


def _matching(pattern: str, most_letters: int | None = None) -> Callable[[str], bool]:
    compiled = re.compile(pattern, re.ASCII | re.IGNORECASE)
    return lambda text: compiled.fullmatch(text) is not None and (most_letters is None or len(text) <= most_letters)


def _uuid(third: str, fourth: str) -> Callable[[str], bool]:
    return _matching(rf"[0-9a-f]{{8}}-?[0-9a-f]{{4}}-?{third}-?{fourth}-?[0-9a-f]{{12}}")


def _name(pattern: str, most_letters: int) -> Callable[[str], bool]:
    compiled = re.compile(pattern, re.ASCII)
    return lambda text: len(text) <= most_letters and compiled.fullmatch(text) is not None


_CHECKS: Mapping[str, Callable[[str], bool]] = {
    "date": _is_date,
    "datetime": _is_date_time,
    "duration": lambda text: _DURATION.fullmatch(text) is not None,
    "byte": _is_bytes,
    "uri": _is_uri,
    "email": lambda text: _EMAIL.fullmatch(text) is not None,
    "hostname": lambda text: len(text) <= 255 and _HOST.fullmatch(text) is not None,
    "ipv4": _is_address(4),
    "ipv6": _is_address(6),
    "cidr": _is_cidr,
    "mac": _matching(
        r"[0-9a-f]{2}([:-])(?:(?:[0-9a-f]{2}\1){4}|(?:[0-9a-f]{2}\1){6}|(?:[0-9a-f]{2}\1){18})[0-9a-f]{2}"
        r"|[0-9a-f]{4}(?:(?:\.[0-9a-f]{4}){2}|(?:\.[0-9a-f]{4}){3}|(?:\.[0-9a-f]{4}){9})",
    ),
    "uuid": _uuid("[0-9a-f]{4}", "[0-9a-f]{4}"),
    "uuid3": _uuid("3[0-9a-f]{3}", "[0-9a-f]{4}"),
    "uuid4": _uuid("4[0-9a-f]{3}", "[89ab][0-9a-f]{3}"),
    "uuid5": _uuid("5[0-9a-f]{3}", "[89ab][0-9a-f]{3}"),
    "bsonobjectid": _matching(r"[0-9a-f]{24}"),
    "isbn": _matching(r"(?:[\d -]{9,14}[\dx]|[\d -]{13,17})"),
    "isbn10": _matching(r"[\d -]{9,12}[\dx]"),
    "isbn13": _matching(r"[\d -]{13,17}"),
    "creditcard": _matching(r"(?:\d\D*){13,16}"),
    "ssn": _matching(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "hexcolor": _matching(r"#?(?:[0-9a-f]{3}|[0-9a-f]{6})"),
    "rgbcolor": _matching(r"rgb\(\s*\d{1,3}\s*,\s*\d{1,3}\s*,\s*\d{1,3}\s*\)"),
    "k8sshortname": _name(_LABEL, 63),
    "k8slongname": _name(rf"{_LABEL}(?:\.{_LABEL})*", 253),
}
