"""How long a client waits, as ``?timeout=`` says it: a duration in Go's notation. Pure.

The server answers at once or watches, so a duration is only checked. Source: Go ``time.ParseDuration`` (1.26), with its
messages; apiserver ``pkg/endpoints/filters/request_deadline.go`` (v1.36).
"""

import re
from collections.abc import Mapping

from rayfleet.local.apiserver.grammar.refusal import bad_request

_UNITS = frozenset({"ns", "us", "µs", "μs", "ms", "s", "m", "h"})
_PART = re.compile(r"(?P<number>\d+(\.\d*)?|\.\d+)(?P<unit>[^\d.]*)")


def check_timeout(query: Mapping[str, str]) -> None:
    """Raise Refusal (400) for a timeout that is no duration."""
    if problem := duration_problem(query.get("timeout", "")):
        raise bad_request(f"invalid timeout specified in the request URL - {problem}")


def duration_problem(text: str) -> str:
    """Return what is wrong with a duration (``1h30m``, ``1.5s``, ``0``), empty when nothing is; empty text is fine."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if not text or rest == "0":
        return ""
    position = 0
    while position < len(rest):
        part = _PART.match(rest, position)
        if part is None:
            break
        if not part["unit"]:
            return f'time: missing unit in duration "{text}"'
        if part["unit"] not in _UNITS:
            return f'time: unknown unit "{part["unit"]}" in duration "{text}"'
        position = part.end()
    return "" if rest and position == len(rest) else f'time: invalid duration "{text}"'
