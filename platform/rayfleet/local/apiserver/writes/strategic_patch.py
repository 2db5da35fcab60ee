"""Strategic merge patch: lists of objects merge by their key, as the schema of a built-in kind says. Pure.

Knows the directives ``$patch: delete|replace|merge``, ``$retainKeys``, ``$deleteFromPrimitiveList/X`` and
``$setElementOrder/X``. Source: apimachinery ``strategicpatch`` (v1.36).
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from rayfleet.local.apiserver.grammar.refusal import bad_request
from rayfleet.local.apiserver.kinds.kind import MergeRule
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.parts import copied

Rules = Callable[[Sequence[str]], MergeRule | None]
_PATCH = "$patch"
_RETAIN = "$retainKeys"
_DELETE_PLAIN = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


def strategic_patched(document: ReadOnlyJson, patch: ReadOnlyJson, rules: Rules) -> Json:
    """Return ``document`` after ``patch``; ``rules`` tells how lists merge.

    Raises Refusal (400) for a wrong directive.
    """
    return _merged_map(copied(document), copied(patch), (), rules)


def _merged_map(document: Json, patch: Json, path: tuple[str, ...], rules: Rules) -> Json:
    directive = patch.pop(_PATCH, "merge")
    if directive == "replace":
        plain: Json = _plain(patch)
        return plain
    if directive == "delete":
        return {}
    if directive != "merge":
        raise bad_request(f"unknown patch type: {directive}")
    if retained := patch.pop(_RETAIN, None):
        if any(value is not None and key not in retained and not key.startswith("$") for key, value in patch.items()):
            raise bad_request("invalid patch format of retainKeys")
        document = {key: value for key, value in document.items() if key in retained}
    return _merged_fields(document, patch, path, rules)


def _merged_fields(document: Json, patch: Json, path: tuple[str, ...], rules: Rules) -> Json:
    before = dict(document)
    orders = {key.removeprefix(_ORDER): patch.pop(key) for key in [*patch] if key.startswith(_ORDER)}
    removals = {key.removeprefix(_DELETE_PLAIN): patch.pop(key) for key in [*patch] if key.startswith(_DELETE_PLAIN)}
    for key, gone in removals.items():
        if key in document:
            document[key] = [value for value in document[key] if value not in gone]
    for key, value in patch.items():
        if value is None:
            document.pop(key, None)
        else:
            document[key] = _merged(document.get(key), value, (*path, key), rules)
    for key, items in document.items():
        named = orders.get(key, patch.get(key))
        rule = rules((*path, key))
        if isinstance(items, list) and isinstance(named, list) and rule is not None and "merge" in rule.strategies:
            if key in orders:
                _check_order(patch.get(key) or [], named, rule.key)
            document[key] = _ordered(items, named, before.get(key) or [], rule.key)
    return document


def _merged(current: Any, patch: Any, path: tuple[str, ...], rules: Rules) -> Any:
    rule = rules(path)
    strategies = rule.strategies if rule else frozenset()
    if isinstance(patch, dict):
        if "replace" in strategies:
            return _plain(patch)
        return _merged_map(current if isinstance(current, dict) else {}, patch, path, rules)
    if isinstance(patch, list) and rule is not None and "merge" in strategies:
        known = current if isinstance(current, list) else []
        if rule.key:
            return _merged_list(known, patch, (*path, "*"), rules, rule.key)
        return known + [value for value in patch if value not in known]
    return _plain(patch)


def _merged_list(current: list[Any], patch: list[Any], path: tuple[str, ...], rules: Rules, key: str) -> list[Any]:
    if any(isinstance(item, dict) and item.get(_PATCH) == "replace" for item in patch):
        return [_plain(item) for item in patch if not (isinstance(item, dict) and item.get(_PATCH) == "replace")]
    result = list(current)
    for item in patch:
        if not isinstance(item, dict):
            raise bad_request(f"map: {item!r} expected in a list that merges by {key}")
        if key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        places = [
            place for place, known in enumerate(result) if isinstance(known, dict) and known.get(key) == item[key]
        ]
        if item.get(_PATCH) == "delete":
            result = [known for place, known in enumerate(result) if place not in places]
        elif places:
            result[places[0]] = _merged_map(result[places[0]], item, path, rules)
        else:
            result.append(_merged_map({}, item, path, rules))
    return result


def _ordered(items: list[Any], named: list[Any], before: list[Any], key: str) -> list[Any]:
    """Return ``items`` with those of ``named`` in that order; each other stands before the first that it stood before.

    So items that are new come first: [c] merged into [a, b] is [c, a, b].
    """
    order = [_identity(each, key) for each in named]
    place = {_hashable(_identity(each, key)): index for index, each in reversed([*enumerate(before)])}
    left = [item for item in items if _identity(item, key) not in order]
    right = [item for item in items if _identity(item, key) in order]
    right.sort(key=lambda item: order.index(_identity(item, key)))
    left.sort(key=lambda item: place.get(_hashable(_identity(item, key)), len(before)))
    result: list[Any] = []
    while left and right:
        here, there = (place.get(_hashable(_identity(side[0], key))) for side in (left, right))
        is_left = here is not None and there is not None and here < there
        result.append((left if is_left else right).pop(0))
    return result + left + right


def _check_order(patch: list[Any], order: list[Any], key: str) -> None:
    """Raise Refusal (400) unless what the patch brings is named by ``order``, in the same order."""
    brought = [_identity(item, key) for item in patch if not (isinstance(item, dict) and _PATCH in item)]
    queue = iter([_identity(item, key) for item in order])
    if not all(any(each == identity for each in queue) for identity in brought):
        raise bad_request(f"The order in patch list:\n{patch}\n doesn't match {_ORDER.rstrip('/')} list:\n{order}\n")


def _identity(item: Any, key: str) -> Any:
    return item.get(key) if key and isinstance(item, dict) else item


def _hashable(identity: Any) -> str:
    return json.dumps(identity, sort_keys=True)


def _plain(patch: Any) -> Any:
    """Return the patch as a value: without directives and without nulls in objects."""
    if isinstance(patch, dict):
        return {
            key: _plain(value)
            for key, value in patch.items()
            if value is not None and key not in (_PATCH, _RETAIN) and not key.startswith((_ORDER, _DELETE_PLAIN))
        }
    if isinstance(patch, list):
        return [_plain(item) for item in patch if not (isinstance(item, dict) and item.get(_PATCH) == "delete")]
    return patch
