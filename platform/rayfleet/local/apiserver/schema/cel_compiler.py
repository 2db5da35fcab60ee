"""From ``x-kubernetes-validations`` to rules that can be run, or to what is wrong with them. Pure.

Messages as ``apiextensions-apiserver/pkg/apis/apiextensions/validation`` of Kubernetes 1.36.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rayfleet.local.apiserver.grammar.refusal import Cause, required
from rayfleet.local.apiserver.schema import cel_functions
from rayfleet.local.apiserver.schema.cel_cost import Loop, loops_of
from rayfleet.local.apiserver.schema.cel_library import cel
from rayfleet.local.apiserver.schema.cel_source import bound_names, located, name_at, undefined_field, with_optionals
from rayfleet.local.apiserver.schema.cel_values import cel_value, has_dynamic_parts, sample
from rayfleet.local.apiserver.schema.validation import invalid, shown
from rayfleet.manifest.structural import child_schema
from rayfleet.model.json import ReadOnlyJson

VALIDATIONS = "x-kubernetes-validations"
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_OPERATOR = re.compile(r"[!@]?_.*|.*_|!_|-_|@\w+")
_PATH_PART = re.compile(r"\.([^.\[\]]+)|\['((?:\\.|[^'\\])*)'\]")


class _CompileError(Exception):
    """The expression cannot be compiled; the text is what the API server would say, or in its manner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One compiled rule.

    ``shown`` is how an evaluation error names it, ``functions`` are those it calls besides CEL's own; ``loops`` tell
    how long it may take.
    """

    program: cel.Program
    message: str
    shown: str
    message_program: cel.Program | None
    functions: Mapping[str, Any]
    reason: str
    field_path: str
    uses_old: bool
    is_old_optional: bool
    loops: tuple[Loop, ...]


class RuleCompiler:
    """Compiles rule after rule and keeps ``causes``."""

    def __init__(self) -> None:
        self.causes: list[Cause] = []

    def rules(self, schema: ReadOnlyJson, at: str, uncorrelated: str) -> Iterator[Rule]:
        """Yield the rules of one node that can be used.

        ``uncorrelated`` is where above old values cease to be known.
        """
        for index, raw in enumerate(schema[VALIDATIONS]):
            place = f"{at}.{VALIDATIONS}[{index}]"
            causes = [*_form_problems(raw, schema, place)]
            rule = None if causes else self._compiled(raw, schema, place, causes)
            if rule is not None and rule.uses_old and uncorrelated:
                text = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}"
                causes.append(invalid(f"{place}.rule", raw["rule"], text))
            if rule is not None and raw.get("optionalOldSelf") is not None and not rule.uses_old:
                text = "may not be set if oldSelf is not used in rule"
                causes.append(invalid(f"{place}.optionalOldSelf", raw["optionalOldSelf"], text))
            self.causes += causes
            if rule is not None and not causes:
                yield rule

    def _compiled(self, raw: ReadOnlyJson, schema: ReadOnlyJson, place: str, causes: list[Cause]) -> Rule | None:
        programs: dict[str, cel.Program | None] = {"messageExpression": None}
        is_old_optional = bool(raw.get("optionalOldSelf"))
        for name, prefix, expected in (("rule", "", bool), ("messageExpression", "messageExpression ", str)):
            if source := raw.get(name):
                try:
                    programs[name] = _program(source, schema, is_old_optional=is_old_optional)
                    _try_on_sample(programs[name], schema, expected, is_old_optional=is_old_optional)
                except _CompileError as error:
                    place_in_rule = prefix if str(error).startswith("compilation") else ""
                    message = f"Invalid value: {_shown_rule(raw)}: {place_in_rule}{error}"
                    causes.append(Cause(field=f"{place}.{name}", reason="FieldValueInvalid", message=message))
        program = programs.get("rule")
        if program is None or causes:
            return None
        message_program = programs["messageExpression"]
        called = {*program.functions(), *(message_program.functions() if message_program else ())}
        stripped, message = raw["rule"].strip(), raw.get("message", "").strip()
        return Rule(
            program=program,
            message=message or f"failed rule: {stripped}",
            shown=message or stripped,
            message_program=message_program,
            functions=cel_functions.called_functions(called),
            reason=raw.get("reason") or "FieldValueInvalid",
            field_path=normal_path(raw["fieldPath"], schema) or "" if raw.get("fieldPath") else "",
            uses_old="oldSelf" in program.variables(),
            is_old_optional=is_old_optional,
            loops=loops_of(stripped),
        )


def normal_path(path: str, schema: ReadOnlyJson) -> str | None:
    """Return ``fieldPath`` as fields of causes are written, or None when it leads nowhere in ``schema``."""
    result, position = "", 0
    while position < len(path):
        part = _PATH_PART.match(path, position)
        name = "" if part is None else part.group(1) or part.group(2).replace("\\'", "'").replace("\\\\", "\\")
        inner = None if part is None else child_schema(schema, name)
        if part is None or inner is None:
            return None
        is_named = name in schema.get("properties", {})
        result += (f".{name}" if result else name) if is_named else f"[{name}]"
        schema, position = inner, part.end()
    return result


def _form_problems(raw: ReadOnlyJson, schema: ReadOnlyJson, place: str) -> Iterator[Cause]:
    rule, message = raw.get("rule", "").strip(), raw.get("message", "")
    if not rule:
        yield required(f"{place}.rule", "rule is not specified")
    elif message and not message.strip():
        yield invalid(f"{place}.message", message, "must be non-empty if specified")
    elif _has_line_breaks(message.strip()):
        yield invalid(f"{place}.message", message, "must not contain line breaks")
    elif _has_line_breaks(rule) and not message.strip():
        yield required(f"{place}.message", "message must be specified if rule contains line breaks")
    if raw.get("messageExpression") and not raw["messageExpression"].strip():
        yield required(f"{place}.messageExpression", "messageExpression must be non-empty if specified")
    if (reason := raw.get("reason")) is not None and reason not in _REASONS:
        listed = ", ".join(map(shown, _REASONS))
        text = f"Unsupported value: {shown(reason)}: supported values: {listed}"
        yield Cause(field=f"{place}.reason", reason="FieldValueNotSupported", message=text)
    if path := raw.get("fieldPath"):
        yield from _path_problems(path, schema, f"{place}.fieldPath")


def _path_problems(path: str, schema: ReadOnlyJson, place: str) -> Iterator[Cause]:
    if not path.strip():
        yield invalid(place, path, "must be non-empty if specified")
    if _has_line_breaks(path):
        yield invalid(place, path, "must not contain line breaks")
    if normal_path(path, schema) is None:
        yield invalid(place, path, "must be a valid path")


def _has_line_breaks(text: str) -> bool:
    return "\n" in text or "\r" in text


def _program(source: str, schema: ReadOnlyJson, *, is_old_optional: bool) -> cel.Program:
    try:
        program = cel.compile(with_optionals(source))
    except ValueError as error:
        _, _, message = str(error).partition("ERROR:")
        raise _CompileError(f"compilation failed: ERROR:{message}".replace("\n| ", "\n | ")) from error
    declared = cel_functions.TYPE_NAMES | bound_names(source) | {"self", "oldSelf"}
    unknown = [name for name in program.variables() if name not in declared]
    unknown += [
        name
        for name in program.functions()
        if not _OPERATOR.fullmatch(name) and name not in cel_functions.known_functions()
    ]
    if unknown:
        raise _CompileError(_undeclared(source, unknown))
    roots = {"self"} if is_old_optional else {"self", "oldSelf"}
    if (missing := undefined_field(source, schema, roots)) is not None:
        offset, name = missing
        message = located(source, offset, f"undefined field '{name}'")
        raise _CompileError(f"compilation failed: {message}")
    return program


def _undeclared(source: str, names: list[str]) -> str:
    if missing := sorted(cel_functions.NOT_OFFERED & set(names)):
        return f"compilation failed: this server does not offer {', '.join(missing)}"
    places = sorted((name_at(source, name), name) for name in names)
    lines = [located(source, offset, f"undeclared reference to '{name}' (in container '')") for offset, name in places]
    return "compilation failed: " + "\n".join(lines)


def _try_on_sample(program: cel.Program | None, schema: ReadOnlyJson, expected: type, *, is_old_optional: bool) -> None:
    """Run the program on a value with every field; only what depends on types counts."""
    if program is None or has_dynamic_parts(schema):
        return
    value = cel_value(sample(schema), schema)
    variables = {"self": value, "oldSelf": cel.OptionalValue.of(value) if is_old_optional else value}
    try:
        result = program.execute(cel_functions.context(variables, cel_functions.called_functions(program.functions())))
    except TypeError as error:
        first, _, _ = str(error).partition(". ")
        raise _CompileError(f"compilation failed: found no matching overload: {first}") from error
    except Exception:  # noqa: BLE001 - a sample's values prove nothing: an index out of bounds, a text that is no time
        return
    if not isinstance(result, expected):
        subject, type_name = ("cel expression", "bool") if expected is bool else ("messageExpression", "string")
        raise _CompileError(f"{subject} must evaluate to a {type_name}")


def _shown_rule(raw: ReadOnlyJson) -> str:
    """Return the rule as Go prints the struct: in messages of the API server."""
    fields = {
        "Rule": raw.get("rule", ""),
        "Message": raw.get("message", ""),
        "MessageExpression": raw.get("messageExpression", ""),
        "Reason": raw.get("reason"),
        "FieldPath": raw.get("fieldPath", ""),
        "OptionalOldSelf": raw.get("optionalOldSelf"),
    }
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
