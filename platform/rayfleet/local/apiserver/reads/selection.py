"""Label and field selectors of list, watch and deletecollection. Pure.

Grammar and messages as ``k8s.io/apimachinery`` (``labels``, ``fields``) has them in Kubernetes 1.36; a selector that a
real API server refuses is refused here in the same words, so that a client's error handling meets nothing new. Fields
by kind: ``pkg/apis/core/v1/conversion.go``.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rayfleet.local.apiserver.grammar.label_grammar import label_key_problem, label_value_problem
from rayfleet.model.errors import RayfleetError
from rayfleet.model.meta import JsonObject


class BadSelector(RayfleetError):
    """A selector that cannot be read, or names a field the kind has no index for; 400 BadRequest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRequirement:
    """One comparison; ``operator`` is one of in, notin, exists, !, gt, lt (``=`` and ``==`` are ``in`` one value)."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether ``labels`` fulfil this one requirement."""
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case _:
                return _is_ordered(value, self.operator, next(iter(self.values)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSelector:
    """Requirements that must all hold; none of them means everything."""

    requirements: tuple[LabelRequirement, ...] = ()

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        """Whether an object with ``labels`` is selected."""
        return all(requirement.holds(labels or {}) for requirement in self.requirements)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldTerm:
    """``path = value``, or ``!=`` when negated."""

    path: str
    value: str
    is_negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSelector:
    """Terms that must all hold; none of them means everything."""

    terms: tuple[FieldTerm, ...] = ()

    def fields(self) -> tuple[str, ...]:
        """Return the paths that are asked for, in order of the text."""
        return tuple(term.path for term in self.terms)

    def required(self, path: str) -> str | None:
        """Return the one value that ``path`` must have, or None; lets a store look up a name directly."""
        return next((term.value for term in self.terms if term.path == path and not term.is_negated), None)

    def matches(self, obj: JsonObject) -> bool:
        """Whether ``obj`` is selected; an absent field counts as the empty text."""
        return all((field_value(obj, term.path) == term.value) is not term.is_negated for term in self.terms)


def parse_label_selector(text: str) -> LabelSelector:
    """Return the selector that ``labelSelector=text`` means. Raises ``BadSelector``."""
    return LabelSelector(requirements=tuple(_Parser(text).requirements()))


def parse_field_selector(
    text: str, kind: str | None = None, *, selectable_fields: Sequence[str] | None = None
) -> FieldSelector:
    """Return the selector that ``fieldSelector=text`` means; raise ``BadSelector`` as an API server does.

    With ``kind`` the paths are checked against what that built-in kind is indexed by. A custom resource passes
    ``selectable_fields``: the JSON paths of its version's ``selectableFields`` without the first dot, often none.
    """
    terms = tuple(_field_term(text, part) for part in _UNESCAPED_COMMA.findall(text) if part)
    for term in terms:
        _check_field(term.path, kind, selectable_fields)
    return FieldSelector(terms=tuple(_renamed(term) for term in terms))


def field_value(obj: JsonObject, path: str) -> str:
    """Return the text that a field selector compares at ``path``."""
    if obj.get("kind") == "Event" and path in _EVENT_FIELDS:
        return _EVENT_FIELDS[path](obj)
    value: Any = obj
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if path in _FLAGS:
        return "true" if value is True else "false"
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


_META = frozenset({"metadata.name", "metadata.namespace"})
_FIELDS_BY_KIND: Mapping[str, frozenset[str]] = {
    "Pod": _META
    | {
        "spec.nodeName",
        "spec.host",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
    },
    "Node": frozenset({"metadata.name", "spec.unschedulable"}),
    "Namespace": frozenset({"metadata.name", "status.phase"}),
    "Secret": _META | {"type"},
    "Service": _META | {"spec.clusterIP", "spec.type"},
    "Event": _META
    | {f"involvedObject.{name}" for name in ("kind", "namespace", "name", "uid", "apiVersion")}
    | {"involvedObject.resourceVersion", "involvedObject.fieldPath", "reason", "reportingComponent", "source", "type"},
}
_FLAGS = frozenset({"spec.unschedulable", "spec.hostNetwork"})
_OLD_NAMES = {"spec.host": "spec.nodeName"}


def _event_source(event: JsonObject) -> str:
    return str((event.get("source") or {}).get("component") or event.get("reportingComponent") or "")


_EVENT_FIELDS: Mapping[str, Callable[[JsonObject], str]] = {"source": _event_source}

_UNESCAPED_COMMA = re.compile(r"(?:\\.|[^,\\]|\\$)+", re.DOTALL)
_OPERATOR = re.compile(r"!=|==|=")
_ESCAPE = re.compile(r"\\(.?)|[,=]", re.DOTALL)


def _field_term(text: str, part: str) -> FieldTerm:
    operator = _OPERATOR.search(part)
    if operator is None:
        raise BadSelector(f"invalid selector: '{text}'; can't understand '{part}'")
    value = _ESCAPE.sub(_unescaped, part[operator.end() :])
    return FieldTerm(path=part[: operator.start()], value=value, is_negated=operator.group() == "!=")


def _unescaped(found: re.Match[str]) -> str:
    letter = found.group(1)
    if letter is None:
        raise BadSelector(f"invalid field selector: unescaped character in value: {ord(found.group())}")
    if letter not in {"\\", ",", "="}:
        raise BadSelector(f"invalid field selector: invalid escape sequence: \\{letter}")
    return letter


def _check_field(path: str, kind: str | None, selectable_fields: Sequence[str] | None) -> None:
    if selectable_fields is not None:
        if path not in _META and path not in selectable_fields:
            raise BadSelector(f"field label not supported: {path}")
    elif fields := _FIELDS_BY_KIND.get(kind or ""):
        if path not in fields:
            raise BadSelector(f"field label not supported: {path}")
    elif kind is not None and path not in _META:
        raise BadSelector(f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"')


def _renamed(term: FieldTerm) -> FieldTerm:
    return FieldTerm(path=_OLD_NAMES.get(term.path, term.path), value=term.value, is_negated=term.is_negated)


_TOKEN = re.compile(r"[ \t\r\n]*(==|!=|[=!(),<>]|[^ \t\r\n=!(),<>]+)")
_SPECIAL = frozenset({"=", "==", "!=", "!", "(", ")", ",", "<", ">"})
_OPERATORS = {"=": "in", "==": "in", "!=": "notin", "in": "in", "notin": "notin", ">": "gt", "<": "lt"}
_OPERATOR_NAMES = "in, notin, =, ==, !=, gt, lt"
_END = ""


class _Parser:
    """Recursive descent over the tokens; ``""`` is the end, and comes for ever."""

    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        self._position = 0

    def requirements(self) -> list[LabelRequirement]:
        found: list[LabelRequirement] = []
        if self._peek() == _END:
            return found
        if not self._is_key_next():
            raise BadSelector(f"found '{self._peek()}', expected: !, identifier, or 'end of string'")
        while True:
            found.append(self._requirement())
            separator = self._take()
            if separator == _END:
                return found
            if separator != ",":
                raise BadSelector(f"found '{separator}', expected: ',' or 'end of string'")
            if not self._is_key_next():
                raise BadSelector(f"found '{self._peek()}', expected: identifier after ','")

    def _requirement(self) -> LabelRequirement:
        is_absence = self._peek() == "!"
        if is_absence:
            self._take()
        key = self._take()
        if not _is_word(key):
            raise _bad_requirement(f"found '{key}', expected: identifier")
        if problem := label_key_problem(key):
            raise _bad_requirement(f'<nil>: Invalid value: "{key}": {problem}')
        if is_absence or self._peek() in {_END, ","}:
            return LabelRequirement(key=key, operator="!" if is_absence else "exists")
        word = self._take()
        if word not in _OPERATORS:
            raise _bad_requirement(f"found '{word}', expected: {_OPERATOR_NAMES}")
        values = self._set() if word in {"in", "notin"} else [self._exact_value()]
        _check_values(key, _OPERATORS[word], sorted(values))
        return LabelRequirement(key=key, operator=_OPERATORS[word], values=frozenset(values))

    def _exact_value(self) -> str:
        if self._peek() in {_END, ","}:
            return ""
        value = self._take()
        if not _is_word(value):
            raise _bad_requirement(f"found '{value}', expected: identifier")
        return value

    def _set(self) -> list[str]:
        opening = self._take()
        if opening != "(":
            raise _bad_requirement(f"found '{opening}' expected: '('")
        following = self._peek()
        if following not in {")", ","} and not _is_word(following):
            raise _bad_requirement(f"found '{following}', expected: ',', ')' or identifier")
        values: list[str] = []
        while True:
            values.append(self._take() if _is_word(self._peek()) else "")
            separator = self._take()
            if separator == ")":
                return values
            if separator != ",":
                raise _bad_requirement(f"found '{separator}', expected: ',' or ')'")

    def _is_key_next(self) -> bool:
        return self._peek() == "!" or _is_word(self._peek())

    def _peek(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else _END

    def _take(self) -> str:
        token = self._peek()
        self._position += 1
        return token


def _is_word(token: str) -> bool:
    return token != _END and token not in _SPECIAL


def _check_values(key: str, operator: str, values: Sequence[str]) -> None:
    if operator in {"gt", "lt"} and not _is_int64(values[0]):
        raise _bad_requirement(
            f"values[0]: Invalid value: \"{values[0]}\": for 'Gt', 'Lt' operators, the value must be an integer"
        )
    for index, value in enumerate(values):
        if problem := label_value_problem(value):
            raise _bad_requirement(f'values[{index}][{key}]: Invalid value: "{value}": {problem}')


def _is_ordered(value: str | None, operator: str, bound: str) -> bool:
    if value is None or not _is_int64(value):
        return False
    return int(value) > int(bound) if operator == "gt" else int(value) < int(bound)


def _is_int64(text: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]+", text) is not None and -(2**63) <= int(text) < 2**63


def _bad_requirement(message: str) -> BadSelector:
    return BadSelector(f"unable to parse requirement: {message}")
