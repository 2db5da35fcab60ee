"""CEL rules of a schema (``x-kubernetes-validations``): compiled once per version, then asked for each object. Pure.

As ``apiextensions-apiserver/pkg/apiserver/schema/cel`` of Kubernetes 1.36, with its messages. What a
definition's rules may cost is not estimated; a rule that would take too long for an object is not run (``cel_cost``).
There is no type check: a field that the schema lacks, a name that nobody declares and a rule whose operators do not fit
a sample of the schema's types are refused when the definition is created; other mistakes come out when an object is
checked.

``cel-expr-python`` 0.1.3 (cel-cpp, with a type check and cel-go's words) was tried instead of
``common-expression-language``: it takes no time, duration or optional value inside an object or as ``oldSelf``, so
rules that the API server runs would be refused. It does not tell which variables a rule reads, knows an object's
fields from protobuf messages only and lacks the functions of sets and lists, so it would bring more code than go.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rayfleet.local.apiserver.grammar.refusal import Cause
from rayfleet.local.apiserver.schema.cel_compiler import VALIDATIONS, Rule, RuleCompiler
from rayfleet.local.apiserver.schema.cel_cost import is_too_costly
from rayfleet.local.apiserver.schema.cel_functions import context
from rayfleet.local.apiserver.schema.cel_library import cel
from rayfleet.local.apiserver.schema.cel_values import cel_value, with_type_meta
from rayfleet.local.apiserver.schema.validation import shown
from rayfleet.manifest.structural import ABSENT, is_same, old_item
from rayfleet.model.json import ReadOnlyJson

_NOWHERE = "<nil>"
_TOO_COSTLY = (
    "'operation cancelled: actual cost limit exceeded': "
    "no further validation rules will be run due to call cost exceeds limit for rule: "
)
_MOST_MESSAGE_BYTES = 5 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    """The part of a schema that has rules, at it or below."""

    schema: ReadOnlyJson
    rules: tuple[Rule, ...]
    properties: Mapping[str, "_Node"] = field(default_factory=dict)
    additional: "_Node | None" = None
    items: "_Node | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A node beside the value that is there, and the one that was."""

    node: _Node
    value: Any
    old: Any
    path: str


class RuleSet:
    """All rules of one schema. ``causes`` is what makes the definition invalid; its fields begin with ``at``."""

    def __init__(self, schema: ReadOnlyJson, at: str = "spec.validation.openAPIV3Schema") -> None:
        self._compiler = RuleCompiler()
        self._root = self._node(with_type_meta(schema), at, "")
        self.causes: tuple[Cause, ...] = tuple(self._compiler.causes)

    @property
    def has_rules(self) -> bool:
        """Whether there is any rule at all."""
        return self._root is not None

    def problems(self, new: ReadOnlyJson, old: ReadOnlyJson | None = None) -> list[Cause]:
        """Return the rules that ``new`` breaks; ``old`` is None on creation, when rules about ``oldSelf`` rest."""
        if self._root is None:
            return []
        before = ABSENT if old is None else old
        causes: list[Cause] = []
        for cause in _broken(_Place(node=self._root, value=new, old=before, path="")):
            causes.append(cause)
            if _TOO_COSTLY in cause.message:
                break
        return causes

    def _node(self, schema: ReadOnlyJson, at: str, uncorrelated: str) -> _Node | None:
        """Return the node for ``schema``.

        ``uncorrelated`` is the place above from which old values cannot be told, if any.
        """
        is_atomic = schema.get("x-kubernetes-map-type") == "atomic"
        below_map = uncorrelated or (at if is_atomic else "")
        below_list = uncorrelated or ("" if schema.get("x-kubernetes-list-type") == "map" else at)
        properties = {
            name: node
            for name, inner in schema.get("properties", {}).items()
            if (node := self._node(inner, f"{at}.properties[{name}]", below_map)) is not None
        }
        additional, items = schema.get("additionalProperties"), schema.get("items")
        node = _Node(
            schema=schema,
            rules=tuple(self._compiler.rules(schema, at, uncorrelated)) if schema.get(VALIDATIONS) else (),
            properties=properties,
            additional=self._node(additional, f"{at}.additionalProperties", below_map)
            if isinstance(additional, dict)
            else None,
            items=self._node(items, f"{at}.items", below_list) if isinstance(items, dict) else None,
        )
        has_any = node.rules or node.properties or node.additional or node.items
        return node if has_any else None


def _broken(place: _Place) -> Iterator[Cause]:
    if place.value is None:
        return
    if place.node.rules:
        yield from _broken_here(place)
    if isinstance(place.value, dict):
        for name, inner in place.value.items():
            node = place.node.properties.get(name)
            below = f"{place.path}.{name}" if place.path else name
            if node is None and name not in place.node.schema.get("properties", {}):
                node, below = place.node.additional, f"{place.path}[{name}]"
            if node is not None:
                old = place.old.get(name, ABSENT) if isinstance(place.old, dict) else ABSENT
                yield from _broken(_Place(node=node, value=inner, old=old, path=below))
    elif isinstance(place.value, list) and place.node.items is not None:
        for index, item in enumerate(place.value):
            old = old_item(item, place.node.schema, place.old)
            yield from _broken(_Place(node=place.node.items, value=item, old=old, path=f"{place.path}[{index}]"))


def _broken_here(place: _Place) -> Iterator[Cause]:
    has_old = place.old is not ABSENT and place.old is not None
    is_unchanged = has_old and is_same(place.value, place.old)
    variables = {"self": cel_value(place.value, place.node.schema)}
    if has_old:
        variables["oldSelf"] = cel_value(place.old, place.node.schema)
    for rule in place.node.rules:
        if rule.uses_old:
            if not has_old and not rule.is_old_optional:
                continue
        elif is_unchanged:
            continue  # what did not change is not judged again
        cause = _cause(rule, place, _with_optional_old(rule, variables))
        if cause is not None:
            yield cause


def _with_optional_old(rule: Rule, variables: Mapping[str, Any]) -> Mapping[str, Any]:
    if not rule.is_old_optional:
        return variables
    old = cel.OptionalValue.of(variables["oldSelf"]) if "oldSelf" in variables else cel.OptionalValue.none()
    return {**variables, "oldSelf": old}


def _cause(rule: Rule, place: _Place, variables: Mapping[str, Any]) -> Cause | None:
    if is_too_costly(rule.loops, place.value, *([place.old] if rule.uses_old else [])):
        message = f"Invalid value: {shown(place.node.schema.get('type', ''))}: {_TOO_COSTLY}{rule.shown}"
        return Cause(field=place.path or _NOWHERE, reason="FieldValueInvalid", message=message)
    try:
        holds = rule.program.execute(context(variables, rule.functions))
    except Exception as error:  # noqa: BLE001 - the library raises many types; each means that the rule gave no answer
        type_name = shown(place.node.schema.get("type", ""))
        message = f"Invalid value: {type_name}: {_evaluation_problem(error, rule)}"
        return Cause(field=place.path or _NOWHERE, reason="FieldValueInvalid", message=message)
    if holds is True:
        return None
    path = ".".join(part for part in (place.path, rule.field_path) if part)
    is_shown = not isinstance(place.value, dict | list)
    value = f": {shown(place.value)}" if is_shown else ""
    detail = _message(rule, variables)
    message = {
        "FieldValueForbidden": f"Forbidden: {detail}",
        "FieldValueRequired": f"Required value: {detail}",
        "FieldValueDuplicate": f"Duplicate value{value}",
    }.get(rule.reason, f"Invalid value{value}: {detail}")
    return Cause(field=path or _NOWHERE, reason=rule.reason, message=message)


def _evaluation_problem(error: Exception, rule: Rule) -> str:
    match error:
        case KeyError():
            return f"no such key: {error.args[0]} evaluating rule: {rule.shown}"
        case ZeroDivisionError():
            return f"division by zero evaluating rule: {rule.shown}"
        case OverflowError():
            return f"integer overflow evaluating rule: {rule.shown}"
        case _ if isinstance(error, TypeError) or "Undefined variable or function" in str(error):
            return (
                "'no such overload': call arguments did not match a supported operator, function or macro signature"
                f" for rule: {rule.shown}"
            )
        case _:
            return f"{error} evaluating rule: {rule.shown}"


def _message(rule: Rule, variables: Mapping[str, Any]) -> str:
    if rule.message_program is None:
        return rule.message
    try:
        text = rule.message_program.execute(context(variables, rule.functions))
    except Exception:  # noqa: BLE001 - then the plain message is used, as the API server does
        return rule.message
    text = text.strip() if isinstance(text, str) else ""
    is_usable = text and "\n" not in text and len(text.encode()) <= _MOST_MESSAGE_BYTES
    return text if is_usable else rule.message
