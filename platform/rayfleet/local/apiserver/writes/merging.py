"""An applied configuration merged into an object, and what an applier no longer states taken out of it. Pure.

Nothing that is given is changed. Source: structured-merge-diff ``typed/merge.go``, ``typed/remove.go`` and
``merge/update.go`` (v6.3).
"""

from collections import deque
from collections.abc import Mapping
from typing import Any

from rayfleet.local.apiserver.kinds.shapes import Shape
from rayfleet.local.apiserver.writes.comparing import ABSENT, indexed, stated_fields
from rayfleet.local.apiserver.writes.field_sets import FieldSet, as_tree, field, item_part, with_named
from rayfleet.model.json import Json, ReadOnlyJson


def merged(shape: Shape, live: ReadOnlyJson, config: ReadOnlyJson) -> Json:
    """Return ``live`` with what ``config`` states; items of lists are found by their identity."""
    result: Json = _merged(shape, live, config)
    return result


def pruned(shape: Shape, whole: Json, last: FieldSet, owned: FieldSet) -> Json:
    """Return the object without what was applied ``last`` time and nobody owns any more; ``owned`` is everybody's."""
    if not last:
        return whole
    stated = with_named(shape, stated_fields(shape, whole))
    former = with_named(shape, last)
    rest = without(shape, whole, former)
    kept = with_named(shape, stated_fields(shape, rest)) | with_named(shape, owned)
    rest = without(shape, whole, stated - kept)
    # What went with a struct or an item, but was never the applier's, stays.
    dropped = stated - with_named(shape, stated_fields(shape, rest))
    return without(shape, whole, dropped & former)


def without(shape: Shape, value: Json, fields: FieldSet) -> Json:
    """Return the object without these fields."""
    result = _without(shape, value, as_tree(fields))
    return result if isinstance(result, dict) else {}


def _merged(shape: Shape, old: Any, new: Any) -> Any:
    if old is ABSENT or new is ABSENT:
        return old if new is ABSENT else new
    if isinstance(old, dict) and isinstance(new, dict) and not shape.is_atomic:
        names = [*old, *(name for name in new if name not in old)]
        return {name: _merged_below(shape, name, old, new) for name in names}
    if isinstance(old, list) and isinstance(new, list) and shape.is_merged_list:
        return _merged_lists(shape, old, new)
    return new


def _merged_below(shape: Shape, name: str, old: Json, new: Json) -> Any:
    below = shape.below(name)
    left, right = old.get(name, ABSENT), new.get(name, ABSENT)
    if below is None:
        return left if right is ABSENT else right
    return _merged(below, left, right)


def _merged_lists(shape: Shape, old: list[Any], new: list[Any]) -> list[Any]:
    """Return both lists' items, each once: those of ``new`` in its order, the others where they stood among them."""
    left, right = indexed(shape, old), indexed(shape, new)
    coming = deque(right)  # all of new
    shared = deque(part for part in right if part in left)  # those whose place old says, in the order they will have
    result: list[Any] = []

    def take_until(last: str | None) -> None:
        while coming:
            part = coming.popleft()
            result.append(_merged(shape.item, left.get(part, ABSENT), right[part]))
            if part == last:
                return

    for item in old:
        part = item_part(shape, item)
        if part is None or part not in right:
            result.append(item)
        elif shared and shared[0] == part:
            shared.popleft()
            take_until(part)
    take_until(None)
    return result


def _without(shape: Shape, value: Any, tree: Mapping[str, Any]) -> Any:
    """Return what is left of ``value``; None when nothing is."""
    if isinstance(value, dict):
        return _map_without(shape, value, tree)
    if isinstance(value, list) and shape.is_merged_list:
        return _list_without(shape, value, tree)
    return value


def _map_without(shape: Shape, value: Json, tree: Mapping[str, Any]) -> Json | None:
    left: Json = {}
    for name, inner in value.items():
        node = tree.get(field(name))
        below = shape.below(name)
        if node is None or below is None:
            left[name] = inner
        elif "." not in node and (rest := _without(below, inner, node)) is not None:
            left[name] = rest
    return left or None


def _list_without(shape: Shape, value: list[Any], tree: Mapping[str, Any]) -> list[Any] | None:
    left: list[Any] = []
    for item in value:
        node = tree.get(item_part(shape, item) or "")
        if node is None:
            left.append(item)
        elif "." not in node and (rest := _without(shape.item, item, node)) is not None:
            left.append(rest)
    return left or None
