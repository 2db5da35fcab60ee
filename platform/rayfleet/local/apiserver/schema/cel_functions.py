"""The functions that a rule may call. Pure.

CEL's own, its extensions for strings, sets and lists, and Kubernetes' for lists and regexes. Not there, so that a CRD
that calls them is refused: quantity, url, ip, cidr, format, authorizer, optMap, and the macros with two variables.
Sources: cel-go ``ext``, Kubernetes "CEL in Kubernetes", the package ``common-expression-language`` 0.10.
"""

import ipaddress
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice, pairwise
from typing import Any

from rayfleet.local.apiserver.grammar.formats import is_of_format
from rayfleet.local.apiserver.grammar.patterns import all_matches
from rayfleet.local.apiserver.schema.cel_library import STDLIB_FUNCTIONS, cel

# What the library itself evaluates; operators and macros do not count as functions there.
_OWN = frozenset(
    [
        "size",
        "contains",
        "startsWith",
        "endsWith",
        "matches",
        "type",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "bool",
        "dyn",
        "has",
        "timestamp",
        "duration",
        "max",
        "min",
        "getFullYear",
        "getMonth",
        "getDate",
        "getDayOfMonth",
        "getDayOfWeek",
        "getDayOfYear",
        "getHours",
        "getMinutes",
        "getSeconds",
        "getMilliseconds",
        "of",
        "none",
        "ofNonZeroValue",
        "value",
        "hasValue",
        "or",
        "orValue",
        "_[_]",
        "in",
        "@in",
        "not_strictly_false",
        "@not_strictly_false",
    ]
)
# Kubernetes has these; a name that macros share (all, exists, ...) is left over where one was called with two
# variables.
NOT_OFFERED = frozenset(
    [
        "quantity",
        "isQuantity",
        "url",
        "ip",
        "cidr",
        "isSemver",
        "semver",
        "format",
        "authorizer",
        "optMap",
        "optFlatMap",
        "all",
        "exists",
        "exists_one",
        "existsOne",
        "transformList",
        "transformMap",
        "transformMapEntry",
    ]
)
TYPE_NAMES = frozenset(
    [
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "bool",
        "list",
        "map",
        "null_type",
        "type",
        "math",
        "sets",
        "base64",
        "optional",
        "dyn",
    ]
)


def known_functions() -> frozenset[str]:
    """Return the names that ``Program.functions`` may tell, but for operators."""
    return _OWN | {name.rpartition(".")[2] for name in STDLIB_FUNCTIONS} | set(FUNCTIONS)


def _optional_field(target: Any, name: Any) -> Any:
    if isinstance(target, cel.OptionalValue):
        if not target.has_value():
            return cel.OptionalValue.none()
        target = target.value()
    is_there = name in target if isinstance(target, dict) else isinstance(name, int) and 0 <= name < len(target)
    return cel.OptionalValue.of(target[name]) if is_there else cel.OptionalValue.none()


def _find(text: str, pattern: str) -> str:
    return next(all_matches(pattern, text), "")


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    return list(islice(all_matches(pattern, text), limit if limit >= 0 else None))


def _is_sorted(items: Sequence[Any]) -> bool:
    return all(left <= right for left, right in pairwise(items))


def _index_of(target: Any, item: Any, *offset: int) -> int:
    if isinstance(target, list):
        return target.index(item) if item in target else -1
    return target.find(item, *offset) if isinstance(target, str) else _refuse()


def _last_index_of(target: Any, item: Any, *offset: int) -> int:
    if isinstance(target, list):
        return len(target) - 1 - target[::-1].index(item) if item in target else -1
    if not isinstance(target, str):
        return _refuse()
    return target.rfind(item, 0, offset[0] + len(item)) if offset else target.rfind(item)


def _refuse() -> int:
    raise TypeError("no such overload")


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _is_cidr(text: str) -> bool:
    return is_of_format(text, "cidr")


def _is_url(text: str) -> bool:
    return is_of_format(text, "uri")


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "optionalField": _optional_field,
    "optionalIndex": _optional_field,
    "find": _find,
    "findAll": _find_all,
    "isSorted": _is_sorted,
    "isIP": _is_ip,
    "isCIDR": _is_cidr,
    "isURL": _is_url,
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
}


_ALL: Mapping[str, Callable[..., Any]] = {**STDLIB_FUNCTIONS, **FUNCTIONS}


def called_functions(names: Collection[str]) -> Mapping[str, Callable[..., Any]]:
    """Return what a program that calls ``names`` needs besides CEL's own; ``math.greatest`` is told as ``greatest``."""
    return {name: function for name, function in _ALL.items() if name.rpartition(".")[2] in names}


def context(variables: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> cel.Context:
    """Return what a program is run in."""
    return cel.Context(variables=dict(variables), functions=dict(functions))
