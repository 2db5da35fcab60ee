"""How long a CEL rule may take: its loops, counted before it runs, so that no rule holds the server up. Pure.

kube-apiserver (1.36) estimates what a rule may cost when its definition is made, and counts what it costs when it runs:
1,000,000 at most, of which a step of a loop takes a handful. Here the steps alone are counted, from the sizes of the
lists and maps that the loops go through, before the rule runs; nothing is estimated for a definition.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rayfleet.local.apiserver.schema.cel_source import Token, tokens_of

MOST_COST = 1_000_000  # apiserver pkg/apis/cel/config.go, PerCallLimit
_COST_OF_A_STEP = 5
_LOOPS = frozenset(
    {"all", "exists", "exists_one", "existsOne", "filter", "map", "transformList", "transformMap", "transformMapEntry"}
)
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")


@dataclass(frozen=True, slots=True)
class Loop:
    """A macro that goes through a list or a map, and the loops in it.

    ``over`` is the field that it goes through, empty for the value itself, None where the text does not tell.
    """

    over: str | None
    inner: tuple["Loop", ...] = ()


def loops_of(source: str) -> tuple[Loop, ...]:
    """Return the outermost loops of a rule."""
    tokens = [token for token in tokens_of(source) if token.kind != "space"]
    return tuple(_read(tokens, iter(range(len(tokens)))))


def is_too_costly(loops: Sequence[Loop], *values: Any) -> bool:
    """Whether a rule with these loops would take too many steps; ``values`` are those that it looks at."""
    return bool(loops) and _steps(loops, values) * _COST_OF_A_STEP > MOST_COST


def _steps(loops: Sequence[Loop], values: Sequence[Any]) -> int:
    return sum(max(_size(each, loop.over) for each in values) * (1 + _steps(loop.inner, values)) for loop in loops)


def _size(value: Any, over: str | None) -> int:
    """Return how many steps a loop takes at most: the length of the longest thing that it may go through."""
    if over == "":
        return len(value) if isinstance(value, dict | list) else 0
    lengths = (len(inner) for name, inner in _parts(value) if over in (None, name))
    return max(lengths, default=0)


def _parts(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every list and map in a value, itself too, with the name of the field that it is in."""
    if isinstance(value, dict):
        yield name, value
        for key, inner in value.items():
            yield from _parts(inner, key)
    elif isinstance(value, list):
        yield name, value
        for inner in value:
            yield from _parts(inner, name)


def _read(tokens: Sequence[Token], positions: Iterator[int]) -> Iterator[Loop]:
    """Yield the loops up to the bracket that closes what was opened before."""
    for index in positions:
        text = tokens[index].text
        if text in _CLOSING:
            return
        if text not in _OPENING:
            continue
        inner = tuple(_read(tokens, positions))
        is_loop = index > 1 and tokens[index - 1].text in _LOOPS and tokens[index - 2].text == "."
        if is_loop and text == "(":
            yield Loop(_over(tokens, index - 3), inner)
        else:
            yield from inner


def _over(tokens: Sequence[Token], last: int) -> str | None:
    """Return the field at the end of the chain that ends at token ``last``."""
    if last < 0 or tokens[last].kind != "name":
        return None
    if last > 0 and tokens[last - 1].text in {".", ".?"}:
        return tokens[last].text
    return "" if tokens[last].text in {"self", "oldSelf"} else None
