"""Parts of foreign JSON: what has the wrong type counts as absent. Pure.

For objects that no schema has checked yet, or one that is open (a RayCluster's spec in a fleet's template).
"""

import copy
from typing import Any

import orjson

from rayfleet.model.json import Json, ReadOnlyJson

INT32_MAX = 2**31 - 1
_ANY_KEYS = orjson.OPT_NON_STR_KEYS


def mapping(value: Any) -> Json:
    """Return ``value`` when it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[Json]:
    """Return those entries of a list that are mappings, in order; nothing for what is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def part(value: ReadOnlyJson, *path: str) -> Json:
    """Return the mapping under ``path`` (``part(pod, "spec", "securityContext")``), empty when anything is missing."""
    inner: Any = value
    for name in path:
        inner = mapping(inner).get(name)
    return mapping(inner)


def entries(value: ReadOnlyJson, *path: str) -> list[Json]:
    """Return the mappings in the list under ``path`` (``entries(route, "spec", "rules")``), none when it is missing."""
    return mappings(part(value, *path[:-1]).get(path[-1]))


def whole_number(value: Any, otherwise: int) -> int:
    """Return ``value`` when it is a whole number (a truth value is none), else ``otherwise``."""
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


def written_count(text: str, most: int = INT32_MAX) -> int | None:
    """Return the whole number from 0 to ``most`` that a text writes in ASCII digits, None when it writes none.

    For labels and annotations, which anybody may write: a number beyond our statuses' fields is none of ours.
    """
    is_short = text.isascii() and text.isdecimal() and len(text) <= len(str(most))
    return int(text) if is_short and int(text) <= most else None


def is_identical(one: ReadOnlyJson, other: ReadOnlyJson) -> bool:
    """Whether two mappings are the same text of JSON: 1 is neither true nor 1.0, which ``==`` takes for equal.

    One with its fields in another order may count as another.
    """
    return one == other and orjson.dumps(one, option=_ANY_KEYS) == orjson.dumps(other, option=_ANY_KEYS)


def copied(value: ReadOnlyJson) -> Json:
    """Return a copy that shares no part with ``value``: ours to change."""
    return copy.deepcopy(dict(value))
