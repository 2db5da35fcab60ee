r"""Regular expressions of schemas, written for Go's ``regexp``, as Python's. Pure.

The two agree on nearly all that schemas use. Where they do not, the text is translated: ``$`` is the end of the text
and never before a last line break, ``\z``, POSIX classes such as ``[[:alpha:]]``; ``\d``, ``\w``, ``\s`` mean ASCII.
What Go does not have (look-around, back-references) is refused, and so is what Python does not have (``\pL``, flags
after the start).
"""

import re
from functools import lru_cache

_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": "\\x00-\\x7F",
    "blank": "\\t ",
    "cntrl": "\\x00-\\x1F\\x7F",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": "\\t\\n\\v\\f\\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_OUTSIDE = re.compile(
    r"(?P<escape>\\.)|(?P<look>\(\?(?:[=!]|<[=!]|\())|(?P<open>\[\^?\]?)|(?P<end>\$)|(?P<other>.)", re.DOTALL
)
_INSIDE = re.compile(
    r"(?P<escape>\\.)|(?P<posix>\[:\^?[a-z]+:\])|(?P<bracket>\[)|(?P<close>\])|(?P<other>.)", re.DOTALL
)
_FLAGS = re.compile(r"\(\?[a-zA-Z]*m")


class NoGoRegexError(ValueError):
    """The text is no regular expression for Go, or one that cannot be expressed for Python."""


@lru_cache(maxsize=512)
def go_regex(pattern: str) -> re.Pattern[str]:
    """Return ``pattern`` compiled; ``search`` is what Go's ``MatchString`` does. Raises ``NoGoRegexError``."""
    end = "$" if _FLAGS.search(pattern) else r"\Z"
    parts: list[str] = []
    tokens, position = _OUTSIDE, 0
    while found := tokens.match(pattern, position):
        position = found.end()
        parts.append(_translated(found, end))
        if found.lastgroup in {"open", "close"}:
            tokens = _INSIDE if found.lastgroup == "open" else _OUTSIDE
    try:
        return re.compile("".join(parts), re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        is_open = "unterminated character set" in str(error)
        told = f"missing closing ]: `{pattern[pattern.rfind('[') :]}`" if is_open else str(error)
        raise NoGoRegexError(told) from error


def _translated(token: re.Match[str], end: str) -> str:
    text = token.group()
    match token.lastgroup:
        case "escape":
            return _escape(text)
        case "look":
            raise NoGoRegexError(f"invalid or unsupported Perl syntax: `{text}`")
        case "posix":
            letters = _POSIX.get(text[2:-2])
            if letters is None:
                raise NoGoRegexError(f"invalid or unsupported character class range: `{text}`")
            return letters
        case "bracket":
            return "\\["
        case "end":
            return end
        case _:
            return text


def _escape(text: str) -> str:
    match text[1]:
        case "z":
            return r"\Z"
        case letter if letter in "123456789":
            raise NoGoRegexError(f"invalid escape sequence: `{text}`")
        case letter if letter in "pPCQEG":
            raise NoGoRegexError(f"the escape sequence `{text}` is not supported by this server")
        case _:
            return text
