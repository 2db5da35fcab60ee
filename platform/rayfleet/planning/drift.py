"""What of an object is no longer as we wrote it. Pure.

An API server fills in defaults, and others add fields: neither is drift. A field that we write and that says something
else is.
"""

from typing import Any

from rayfleet.model.json import Json, ReadOnlyJson


def drift_patch(current: ReadOnlyJson, desired: ReadOnlyJson, exact: tuple[tuple[str, ...], ...] = ()) -> Json:
    """Return the JSON merge patch that makes ``current`` hold all of ``desired``; empty when it does.

    Lists are ours as a whole: as long as ``desired``'s and each item holding all of its, else replaced. Mappings at the
    paths ``exact`` are ours as a whole too: what others added there is taken out.
    """
    return _mapping_patch(current, desired, exact)


def _mapping_patch(current: ReadOnlyJson, desired: ReadOnlyJson, exact: tuple[tuple[str, ...], ...]) -> Json:
    patch: Json = {}
    for name, value in desired.items():
        present = current.get(name)
        below = tuple(path[1:] for path in exact if path[0] == name and len(path) > 1)
        if isinstance(value, dict) and isinstance(present, dict):
            part = _mapping_patch(present, value, below)
            if (name,) in exact:
                part |= dict.fromkeys(present.keys() - value.keys())
            if part:
                patch[name] = part
        elif not _holds(present, value):
            patch[name] = value
    return patch


def _holds(present: Any, desired: Any) -> bool:
    """Whether ``present`` says everything that ``desired`` says."""
    if isinstance(desired, dict):
        return isinstance(present, dict) and all(_holds(present.get(name), value) for name, value in desired.items())
    if isinstance(desired, list):
        return (
            isinstance(present, list)
            and len(present) == len(desired)
            and all(_holds(one, other) for one, other in zip(present, desired, strict=True))
        )
    return bool(present == desired)
