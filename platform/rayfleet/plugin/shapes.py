"""What must be true of any value that an engine gives away: the types of its contract, and nothing but data. Pure."""

import dataclasses
from collections.abc import Iterator, Mapping
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

_SCALARS = (str, int, float, bool, type(None))


def type_problems(value: object, hint: Any, path: str) -> Iterator[str]:
    """Yield, for each part of ``value`` that is not of the type that ``hint`` gives, where it is and what is wrong."""
    origin = get_origin(hint)
    if origin in {Union, UnionType}:
        if all(list(type_problems(value, each, path)) for each in get_args(hint)):
            yield f"{path} is {_shown(value)}, not {hint}"
    elif dataclasses.is_dataclass(hint) and isinstance(hint, type):
        yield from _dataclass_problems(value, hint, path)
    elif origin is tuple:
        yield from _tuple_problems(value, get_args(hint), path)
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        yield from _mapping_problems(value, get_args(hint), path)
    elif isinstance(hint, type) and not _is_of(value, hint):
        yield f"{path} is {_shown(value)}, not {hint.__name__}"


def plain(value: object) -> object:
    """Return a value of the contract as JSON has it. Raises TypeError, naming what is no data."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    if isinstance(value, _SCALARS):
        return value
    raise TypeError(f"{_shown(value)} is no data")


def _dataclass_problems(value: object, hint: Any, path: str) -> Iterator[str]:
    if not isinstance(value, hint):
        yield f"{path} is {_shown(value)}, not a {hint.__name__}"
        return
    hints = _hints(hint)
    for each in dataclasses.fields(hint):
        yield from type_problems(getattr(value, each.name), hints[each.name], f"{path}.{each.name}")


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _tuple_problems(value: object, hints: tuple[Any, ...], path: str) -> Iterator[str]:
    if not isinstance(value, tuple):
        yield f"{path} is {_shown(value)}, not a tuple"
        return
    for place, each in enumerate(value):
        yield from type_problems(each, hints[0], f"{path}[{place}]")


def _mapping_problems(value: object, hints: tuple[Any, ...], path: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{path} is {_shown(value)}, not a mapping"
        return
    for key, each in value.items():
        yield from type_problems(key, hints[0], f"{path}, key {key!r},")
        yield from type_problems(each, hints[1], f"{path}[{key!r}]")


def _is_of(value: object, hint: type[Any]) -> bool:
    if isinstance(value, bool) and hint in {int, float}:
        return False
    return isinstance(value, (int, float) if hint is float else hint)


def _shown(value: object) -> str:
    return f"{type(value).__name__} {value!r:.60}"
