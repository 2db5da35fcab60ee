"""The JSON merge patch between two objects, and what it makes of one (RFC 7386). Pure.

A merge patch cannot write a null: what is null in the target goes.
"""

from rayfleet.model.json import Json, ReadOnlyJson


def merge_patch_to(current: ReadOnlyJson, target: ReadOnlyJson) -> Json:
    """Return the patch that makes ``target`` of ``current``; empty when they are equal. Lists change as a whole."""
    patch: Json = {name: None for name in current if current[name] is not None and target.get(name) is None}
    for name, value in target.items():
        present = current.get(name)
        if value is None or value == present:
            continue
        if isinstance(value, dict) and isinstance(present, dict):
            patch[name] = merge_patch_to(present, value)
        else:
            patch[name] = _without_nulls(value) if isinstance(value, dict) else value
    return patch


def merged(target: ReadOnlyJson, patch: ReadOnlyJson) -> Json:
    """Return ``target`` with a merge patch applied; parts that do not change are shared with it."""
    result = dict(target)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            inner = result.get(name)
            result[name] = merged(inner if isinstance(inner, dict) else {}, value)
        else:
            result[name] = value
    return result


def _without_nulls(value: ReadOnlyJson) -> Json:
    """Return a mapping that is new to its place: there is nothing that a null could take away."""
    return {
        name: _without_nulls(inner) if isinstance(inner, dict) else inner
        for name, inner in value.items()
        if inner is not None
    }
