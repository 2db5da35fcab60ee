"""Label and field selectors of list, watch and deletecollection. Pure.

Grammar and messages as ``k8s.io/apimachinery`` (``labels``, ``fields``) has them in Kubernetes 1.36; a selector that a
real API server refuses is refused here in the same words, so that a client's error handling meets nothing new.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rayfleet.local.apiserver.grammar.label_grammar import label_key_problem, label_value_problem
from rayfleet.local.apiserver.kinds.field_labels import NAME_AND_NAMESPACE, FieldReader
from rayfleet.model.errors import RayfleetError
from rayfleet.model.json import ReadOnlyJson


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
    read: FieldReader
    is_negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSelector:
    """Terms that must all hold; none of them means everything."""

    terms: tuple[FieldTerm, ...] = ()

    def matches(self, obj: ReadOnlyJson) -> bool:
        """Whether ``obj`` is selected; an absent field counts as the empty text."""
        return all((term.read(obj) == term.value) is not term.is_negated for term in self.terms)


def parse_label_selector(text: str) -> LabelSelector:
    """Return the selector that ``labelSelector=text`` means. Raises ``BadSelector``."""
    return LabelSelector(requirements=tuple(_Parser(text).requirements()))


def parse_field_selector(text: str, labels: Mapping[str, FieldReader] | None) -> FieldSelector:
    """Return the selector that ``fieldSelector=text`` means; raise ``BadSelector`` as an API server does.

    ``labels`` are what the kind can be asked for; None when it has none of its own, which is refused in other words.
    """
    parts = [_field_part(text, part) for part in _UNESCAPED_COMMA.findall(text) if part]
    return FieldSelector(terms=tuple(_field_term(*part, labels) for part in parts))


_UNESCAPED_COMMA = re.compile(r"(?:\\.|[^,\\]|\\$)+", re.DOTALL)
_OPERATOR = re.compile(r"!=|==|=")
_ESCAPE = re.compile(r"\\(.?)|[,=]", re.DOTALL)


def _field_part(text: str, part: str) -> tuple[str, str, str]:
    """Return path, operator and value of one comparison."""
    operator = _OPERATOR.search(part)
    if operator is None:
        raise BadSelector(f"invalid selector: '{text}'; can't understand '{part}'")
    return part[: operator.start()], operator.group(), _ESCAPE.sub(_unescaped, part[operator.end() :])


def _field_term(path: str, operator: str, value: str, labels: Mapping[str, FieldReader] | None) -> FieldTerm:
    read = (NAME_AND_NAMESPACE if labels is None else labels).get(path)
    if read is None and labels is None:
        raise BadSelector(f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"')
    if read is None:
        raise BadSelector(f"field label not supported: {path}")
    return FieldTerm(path=path, value=value, is_negated=operator == "!=", read=read)


def _unescaped(escape: re.Match[str]) -> str:
    letter = escape.group(1)
    if letter is None:
        raise BadSelector(f"invalid field selector: unescaped character in value: {ord(escape.group())}")
    if letter not in {"\\", ",", "="}:
        raise BadSelector(f"invalid field selector: invalid escape sequence: \\{letter}")
    return letter


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
        requirements: list[LabelRequirement] = []
        if self._peek() == _END:
            return requirements
        if not self._is_key_next():
            raise BadSelector(f"found '{self._peek()}', expected: !, identifier, or 'end of string'")
        while True:
            requirements.append(self._requirement())
            separator = self._take()
            if separator == _END:
                return requirements
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
