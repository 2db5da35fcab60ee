"""Hold a document to a structural schema, with errors for people: the path, the value, the way out. Pure.

``violations`` finds what does not fit; here it is put into words. An API server says the same later; here all errors
come at once and offline. Formats are left to it.
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rayfleet.manifest.structural import INT_OR_STRING
from rayfleet.manifest.violations import Path, Reading, Violation, violations
from rayfleet.model.errors import FieldError
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.quantity import QUANTITY_PATTERN

PERCENT_PATTERN = "^[0-9]{1,9}%$"
SHARE_PATTERN = "^0*(100|[0-9]{1,2})%$"
"""A percentage of a whole: 100% at most."""
NAME_PATTERN = "^[a-z]([-a-z0-9]*[a-z0-9])?$"

_WRONG_TEXT: Mapping[str, str] = {
    PERCENT_PATTERN: "is neither a count nor a percentage",
    SHARE_PATTERN: "is neither a count nor a percentage of 100% at most",
    QUANTITY_PATTERN: "is no quantity (such as 500m, 2 or 8Gi)",
    NAME_PATTERN: "is no DNS-1035 name (lower-case letters, digits and '-', beginning with a letter)",
}
_TYPE_WORDS: Mapping[str, str] = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}
_SHOWN_LETTERS = 60


def schema_errors(value: Any, schema: ReadOnlyJson, path: str) -> tuple[FieldError, ...]:
    """Return everything in ``value`` that ``schema`` refuses, in the order of the document; null counts as absent."""
    return tuple(
        FieldError(path=_full_path(path, violation.path), message=_message(violation))
        for violation in violations(value, schema, _READING)
    )


def shown(value: Any) -> str:
    """Return ``value`` as a user wrote it, shortened: ``"30"``, ``7``, ``{"a": 1}``."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_LETTERS else f"{text[: _SHOWN_LETTERS - 3]}..."


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return `` (did you mean "replicas"?)`` when a known name is near, else nothing."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f' (did you mean "{near[0]}"?)' if near else ""


def quoting_hint(value: Any) -> str:
    """Return what to write instead where a number or truth value stands for text, else nothing."""
    return f' (quote it: "{json.dumps(value)}")' if isinstance(value, bool | int | float) else ""


def child_path(path: str, name: str) -> str:
    """Return the path of a field; names with dots or slashes stand in brackets (``labels["ray.io/group"]``)."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        return f'{path}["{name}"]'
    return f"{path}.{name}" if path else name


_READING = Reading(
    has_match=lambda pattern, text: re.search(pattern, text) is not None,  # the patterns are our own
    is_of_format=lambda _value, _schema: True,
    is_null_absent=True,
    is_type_decisive=True,
    is_pruned=False,
    is_required_first=True,
    is_decoded_by_go=False,
)


def _full_path(path: str, below: Path) -> str:
    for part in below:
        path = f"{path}[{part}]" if isinstance(part, int) else child_path(path, part)
    return path


def _message(violation: Violation) -> str:
    value, limit = violation.value, violation.schema.get(violation.keyword)
    match violation.keyword:
        case "type":
            return _wrong_type(value, violation.schema)
        case "properties":  # a field that is not among them
            return f"unknown field{did_you_mean(str(violation.path[-1]), list(limit or ()))}"
        case keyword if keyword in _WORDS:
            return _WORDS[keyword](value, limit)
        case keyword:
            return f"{shown(value)} does not fit {keyword}: {shown(limit)}"


def _wrong_type(value: Any, schema: ReadOnlyJson) -> str:
    if schema.get(INT_OR_STRING):
        expected = _WRONG_TEXT.get(schema.get("pattern", ""), "is neither a whole number nor text")
        return f"{shown(value)} {expected}{quoting_hint(value)}"
    hint = quoting_hint(value) if schema["type"] == "string" else ""
    return f"{shown(value)} is not {_TYPE_WORDS[schema['type']]}{hint}"


def _none_of(value: Any, choices: Sequence[Any]) -> str:
    return f"{shown(value)} is none of {', '.join(map(str, choices))}{did_you_mean(str(value), choices)}"


_WORDS: Mapping[str, Callable[[Any, Any], str]] = {  # of value and limit
    "required": lambda _value, _limit: "must be given",
    "enum": _none_of,
    "minimum": lambda value, limit: f"{shown(value)} must " + (f"be at least {limit}" if limit else "not be negative"),
    "maximum": lambda value, limit: f"{shown(value)} must be at most {limit}",
    "pattern": lambda value, limit: f"{shown(value)} {_WRONG_TEXT.get(limit, f'does not match {limit}')}",
    "minLength": lambda _value, _limit: "must not be empty",
    "maxLength": lambda value, limit: f"{shown(value)} is {len(value)} letters long, at most {limit} are allowed",
    "maxItems": lambda value, limit: f"has {len(value)} entries, at most {limit} are allowed",
    "maxProperties": lambda value, limit: f"has {len(value)} entries, at most {limit} are allowed",
}
