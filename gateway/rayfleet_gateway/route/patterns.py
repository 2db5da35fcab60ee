"""Regular expressions of routes, run by RE2: in time linear in the text, whatever the pattern. Pure.

Python's own engine goes back and forth, so ``(a+)+$`` of one tenant's route would stop the gateway for all. A pattern
must fit the whole text, as Envoy has it (Gateway API leaves it to the implementation). Patterns are bounded in length
and in what they may take of memory.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import re2

_MOST_LETTERS = 1024  # of a path; Gateway API allows 4,096 in headers, which nobody needs in a pattern
_MOST_MEMORY = 1 << 20  # of one compiled pattern; RE2 itself would take 8 MiB


@dataclass(frozen=True, slots=True)
class Pattern:
    """One regular expression: two of the same text are equal. Raises ValueError when made of what is none."""

    text: str
    _compiled: Any = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_compiled", _compiled(self.text))

    def fits(self, text: str) -> bool:
        """Whether the whole of ``text`` is as the pattern says; one with half a surrogate pair is no text."""
        try:
            return self._compiled.fullmatch(text) is not None
        except UnicodeEncodeError:
            return False


@lru_cache(maxsize=1024)  # the same pattern for each host name of a route, and for each compilation
def _compiled(text: str) -> Any:
    if len(text) > _MOST_LETTERS:
        raise ValueError(f"is a pattern of {len(text)} letters: at most {_MOST_LETTERS} are allowed")
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = _MOST_MEMORY
    try:
        return re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0]
        message = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"{text!r} is no regular expression of RE2: {message}") from error
