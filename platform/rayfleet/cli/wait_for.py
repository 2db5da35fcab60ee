"""What ``wait --for`` asks of an object, from its text to an answer. Pure.

As kubectl's: ``condition=NAME[=STATUS]``, ``jsonpath='{...}'[=VALUE]``, ``create``, ``delete``. A condition that speaks
of an older spec than the object has does not hold yet. Source: kubectl v1.36 ``pkg/cmd/wait``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rayfleet.local.apiserver.grammar.jsonpath import PathError, find_all, parse_jsonpath
from rayfleet.model.errors import WrongUse
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.conditions import condition_of, conditions_of
from rayfleet.objects.meta import generation_of
from rayfleet.objects.parts import part, whole_number

State = ReadOnlyJson | None
_FORMS = "Write condition=NAME, condition=NAME=False, jsonpath='{.status.phase}'=VALUE, create or delete."


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """``holds`` of the object as it is now, None while it is not there; ``shown`` says what is so instead."""

    holds: Callable[[State], bool]
    shown: Callable[[State], str]
    accepts_absence: bool = False


def parse_wish(text: str) -> Wish:
    """Return what is waited for. Raises WrongUse."""
    form, equals, rest = text.partition("=")
    if form in {"delete", "create"} and not equals:
        is_gone = form == "delete"
        return Wish(holds=lambda state: (state is None) is is_gone, shown=_presence, accepts_absence=True)
    if form == "condition" and rest:
        return _condition_wish(rest)
    if form == "jsonpath" and rest:
        return _path_wish(rest)
    raise WrongUse(f"--for={text}: is not understood", way_out=_FORMS)


def _condition_wish(text: str) -> Wish:
    name, _, status = text.partition("=")
    desired = (status or "True").lower()
    return Wish(
        holds=lambda state: state is not None and _status_of(state, name) == desired,
        shown=lambda state: "it is not there" if state is None else _condition_words(state, name),
    )


def _status_of(state: ReadOnlyJson, name: str) -> str:
    """Return the status of a condition in small letters, empty when it is not there or of an older spec."""
    condition = _condition(state, name)
    default = whole_number(part(state, "status").get("observedGeneration"), 0)
    observed = whole_number(condition.get("observedGeneration"), default)
    if observed and observed < generation_of(state):
        return ""
    return str(condition.get("status") or "").lower()


def _condition(state: ReadOnlyJson, name: str) -> ReadOnlyJson:
    """Return a condition by its name in any case."""
    exact = condition_of(state, name)
    return exact or next((each for each in conditions_of(state) if str(each.get("type")).lower() == name.lower()), {})


def _condition_words(state: ReadOnlyJson, name: str) -> str:
    condition = _condition(state, name)
    if not condition:
        known = ", ".join(str(each.get("type")) for each in conditions_of(state)) or "none"
        return f"it has no condition {name} (it has {known})"
    words = ": ".join(str(condition.get(part)) for part in ("reason", "message") if condition.get(part))
    return f"{condition.get('type')} is {condition.get('status')}" + (f", {words}" if words else "")


def _path_wish(text: str) -> Wish:
    text = text.strip("'\"")
    path, closing, value = text.rpartition("}=")
    desired = value.strip("'\"") if closing else None
    try:
        steps = parse_jsonpath((path if closing else text.removesuffix("}")).removeprefix("{"))
    except PathError as error:
        raise WrongUse(f"--for=jsonpath={text}: {error}", way_out=_FORMS) from error

    def values(state: State) -> list[str]:
        return [] if state is None else [_text(each) for each in find_all(state, steps)]

    return Wish(
        holds=lambda state: bool(values(state)) if desired is None else desired in values(state),
        shown=lambda state: f"it is {', '.join(values(state)) or 'empty'}",
    )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _presence(state: State) -> str:
    return "it is not there" if state is None else "it is still there"
