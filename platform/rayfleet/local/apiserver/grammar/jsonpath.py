"""The small part of JSONPath that printer columns use: ``.a.b``, ``['a']``, ``[0]``, ``[*]``, ``[?(@.a=="b")]``.

Pure.
"""

import re
from dataclasses import dataclass
from typing import Any

_STEP = re.compile(
    r"""\.?\*(?=$|[.\[])|\.(?P<name>(?:\\.|[^.\[\]])+)"""
    r"""|\[\?\(@\.?(?P<path>[^=!<>\s)]*)\s*(?:(?P<operator>==|!=)\s*(?P<value>"[^"]*"|'[^']*'|[^)\s]+))?\s*\)\]"""
    r"""|\[(?P<quote>['"])(?P<quoted>.*?)(?P=quote)\]|\[(?P<index>-?\d+|\*)\]"""
)


class PathError(ValueError):
    """The text is no path that is understood here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step down; ``name`` of a field, ``index`` of an item (None: all), or a filter on ``path``."""

    name: str = ""
    index: int | None = None
    path: tuple["Step", ...] = ()
    operator: str = ""
    value: Any = None
    is_all: bool = False


def parse_jsonpath(text: str) -> tuple[Step, ...]:
    """Return the steps of a path. Raises PathError."""
    text = text.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    steps: list[Step] = []
    position = 0
    if text and text[0] not in ".[":
        text = f".{text}"
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            raise PathError(f"{text!r}: {text[position:]!r} is not understood")
        steps.append(_step(match))
        position = match.end()
    return tuple(steps)


def find_all(value: Any, steps: tuple[Step, ...]) -> list[Any]:
    """Return what lies at the path, in order; nothing where a step leads nowhere."""
    values = [value]
    for step in steps:
        values = [below for each in values for below in _below(each, step)]
    return values


def _step(match: re.Match[str]) -> Step:
    if match["name"] is not None:
        return Step(name=re.sub(r"\\(.)", r"\1", match["name"]))
    if match["quote"] is not None:
        return Step(name=match["quoted"])
    if match["index"] is not None:
        return Step(is_all=True) if match["index"] == "*" else Step(index=int(match["index"]))
    if match["path"] is not None:
        value = _literal(match["value"]) if match["operator"] else None
        return Step(path=parse_jsonpath(f".{match['path']}"), operator=match["operator"] or "exists", value=value)
    return Step(is_all=True)


def _literal(text: str) -> Any:
    if text[0] in "\"'":
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        return text


def _below(value: Any, step: Step) -> list[Any]:
    if step.operator:
        return [each for each in value if _passes(each, step)] if isinstance(value, list) else []
    if step.name:
        return [value[step.name]] if isinstance(value, dict) and step.name in value else []
    if step.is_all:
        return list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else []
    assert step.index is not None, "a step has a name, a filter, all or an index"
    is_there = isinstance(value, list) and -len(value) <= step.index < len(value)
    return [value[step.index]] if is_there else []


def _passes(value: Any, step: Step) -> bool:
    values = find_all(value, step.path)
    if step.operator == "exists":
        return bool(values)
    is_equal = bool(values) and values[0] == step.value
    return is_equal if step.operator == "==" else not is_equal
