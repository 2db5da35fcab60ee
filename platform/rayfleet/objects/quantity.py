"""Kubernetes quantities (``500m``, ``8Gi``, ``1e3``) as exact numbers, and written as the API server writes them. Pure.

Source: apimachinery ``pkg/api/resource/quantity.go`` (v1.36): no precision is lost, no fraction is shown, the suffix is
as large as possible (0.5 is 500m, 1024Ki is 1Mi, 1.5Gi is 1536Mi), and a sum is written in the notation of its first
term that is not zero.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Self

_BINARY_SUFFIXES = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL_SUFFIXES = ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")
_ONE = _DECIMAL_SUFFIXES.index("")
_SCALES = {suffix: Fraction(1000) ** (place - _ONE) for place, suffix in enumerate(_DECIMAL_SUFFIXES)} | {
    suffix: Fraction(1024) ** place for place, suffix in enumerate(_BINARY_SUFFIXES)
}
_NANO, _MILLI = Fraction(1, 10**9), Fraction(1, 1000)
_LONGEST_EXPONENT = 3  # digits; beyond any amount, and the exact number of a few more takes minutes to work out
_NUMBER = r"(?:[0-9]+[.]?[0-9]*|[.][0-9]+)"
_SUFFIX = r"[numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+"
_FORM = re.compile(f"([+-]?{_NUMBER})({_SUFFIX})?")

QUANTITY_PATTERN = f"^[+]?{_NUMBER}({_SUFFIX})?$".replace("(?:", "(")
"""What an amount that is asked for looks like, for a schema: as an API server takes it, but never negative."""


class Notation(StrEnum):
    """How a quantity is written: ``1536Mi``, ``1500m``, ``15e2``."""

    BINARY = "BinarySI"
    DECIMAL = "DecimalSI"
    EXPONENT = "DecimalExponent"


@dataclass(frozen=True, slots=True)
class Quantity:
    """An exact amount; ``str`` gives its canonical form."""

    amount: Fraction
    notation: Notation = Notation.DECIMAL

    @classmethod
    def parse(cls, text: str | float) -> Self:
        """Return what ``text`` means. Raises ValueError for what is no quantity."""
        match = _FORM.fullmatch(str(text))
        if match is None:
            raise ValueError(f"{text!r} is not a quantity such as 500m, 4 or 8Gi")
        number, suffix = Fraction(match[1]), match[2] or ""
        if suffix in _BINARY_SUFFIXES[1:]:
            return cls(number * _SCALES[suffix], Notation.BINARY)
        if suffix in _SCALES:
            return cls(number * _SCALES[suffix], Notation.DECIMAL)
        if len(suffix[1:].lstrip("+-0")) > _LONGEST_EXPONENT:
            raise ValueError(f"{text!r} is too large or too small for a quantity")
        return cls(number * Fraction(10) ** int(suffix[1:]), Notation.EXPONENT)

    @classmethod
    def total(cls, quantities: Iterable[str | float]) -> Self:
        """Return the sum: 8Gi + 8Gi is 16Gi, 500m + 1 is 1500m, nothing is 0. Raises ValueError."""
        amount, notation = Fraction(0), Notation.DECIMAL
        for text in quantities:
            term = cls.parse(text)
            notation = notation if amount else term.notation
            amount += term.amount
        return cls(amount, notation)

    @property
    def whole(self) -> int:
        """The amount rounded up, as ``Quantity.Value`` and a ``resourceFieldRef`` give it."""
        return math.ceil(self.amount)

    @property
    def number(self) -> int | float:
        """The amount as a JSON number."""
        return self.whole if self.amount.denominator == 1 else float(self.amount)

    def in_milli_units(self) -> "Quantity":
        """Return the amount rounded up to a thousandth, as the defaults of every list of resources round it."""
        return Quantity(math.ceil(self.amount / _MILLI) * _MILLI, self.notation)

    def __str__(self) -> str:
        if not self.amount:
            return "0"
        if self.notation is Notation.BINARY and abs(self.amount) >= 1024 and self.amount.denominator == 1:
            return _written(self.whole, 1024, _BINARY_SUFFIXES)
        nanos = math.ceil(self.amount / _NANO)
        if self.notation is Notation.EXPONENT:
            return _with_exponent(nanos)
        return _written(nanos, 1000, _DECIMAL_SUFFIXES)


def canonical_quantity(text: str | float) -> str:
    """Return an amount in a list of resources as the API server stores it. Raises ValueError."""
    return str(Quantity.parse(text).in_milli_units())


def whole_amount(value: object) -> int:
    """Return an amount rounded up to a whole number, 0 for what is no quantity: ``2k`` is 2000, ``1000m`` is 1."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return 0
    try:
        return Quantity.parse(value).whole
    except ValueError:
        return 0


def _written(number: int, base: int, suffixes: tuple[str, ...]) -> str:
    """Return ``number`` (not zero) of the first suffix's unit with the largest suffix that leaves it whole."""
    place = 0
    while number % base == 0 and place < len(suffixes) - 1:
        number, place = number // base, place + 1
    return f"{number}{suffixes[place]}"


def _with_exponent(nanos: int) -> str:
    exponent = -9
    while nanos % 1000 == 0:
        nanos, exponent = nanos // 1000, exponent + 3
    return f"{nanos}e{exponent}" if exponent else str(nanos)
