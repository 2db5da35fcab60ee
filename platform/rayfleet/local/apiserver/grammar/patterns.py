r"""Regular expressions of users, run by RE2: the syntax of Go's ``regexp``, in time linear in the text. Pure.

Python's own engine goes back and forth: ``^(a+)+$`` on forty letters would hold up the server for ever. What the
wrapper ``google-re2`` (1.1) says of a wrong pattern is said in Go's words here; ``\C``, which Go does not have, is
refused.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import re2

_SILENT = re2.Options()
_SILENT.log_errors = False
_SINGLE_BYTE = re.compile(r"(?<!\\)(?:\\\\)*(\\C)")
_GO_WORDS: Mapping[str, str] = {
    "bad repetition operator": "invalid nested repetition operator",
    "invalid named capture group": "invalid named capture",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid repetition size": "invalid repeat count",
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "no argument for repetition operator": "missing argument to repetition operator",
    "pattern too large - compile failed": "expression too large",
    "trailing \\": "trailing backslash at end of expression",
}


class BadPatternError(ValueError):
    """The text is no regular expression for Go; says why as Go does."""


def check_pattern(pattern: str) -> None:
    """Raise BadPatternError unless ``pattern`` is a regular expression."""
    _compiled(pattern)


def has_match(pattern: str, text: str) -> bool:
    """Whether ``pattern`` fits anywhere in ``text``, as Go's ``MatchString``. Raises BadPatternError."""
    return _compiled(pattern).search(text) is not None


def all_matches(pattern: str, text: str) -> Iterator[str]:
    """Yield each part of ``text`` that ``pattern`` fits, from left to right. Raises BadPatternError."""
    return (match.group() for match in _compiled(pattern).finditer(text))


def _compiled(pattern: str) -> Any:
    if single_byte := _SINGLE_BYTE.search(pattern):
        raise BadPatternError(f"invalid escape sequence: `{single_byte[1]}`")
    try:
        return re2.compile(pattern, _SILENT)  # the wrapper keeps the last 128
    except re2.error as error:
        raise BadPatternError(_reason(error.args[0].decode(errors="replace"), pattern)) from error


def _reason(message: str, pattern: str) -> str:
    """Return RE2's ``message`` about ``pattern`` as Go has it."""
    reason, _, part = message.partition(": ")
    if part.startswith("(?<"):  # a look-behind is the beginning of a name for Go
        return f"invalid named capture: `{pattern[pattern.find(part) :]}`"
    return f"{_GO_WORDS.get(reason, reason)}: `{part}`"
