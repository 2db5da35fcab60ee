"""Quantities added up and written as Kubernetes writes them (``8Gi``, ``1500m``).

Pure. Source: apimachinery, resource.Quantity.
"""

import math
import re
from collections.abc import Iterable
from fractions import Fraction

_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL = {"n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "": Fraction(1)} | {
    suffix: Fraction(10 ** (3 * power)) for power, suffix in enumerate("kMGTPE", start=1)
}
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)")


def exact_value(quantity: str | float) -> Fraction:
    """Return the number that a quantity means. Raises ValueError."""
    match = _QUANTITY.fullmatch(str(quantity).strip())
    if match is None:
        raise ValueError(f"{quantity!r} is not a quantity such as 500m, 4 or 8Gi")
    digits, exponent, suffix = match.groups()
    if exponent:
        return Fraction(digits) * Fraction(10) ** int(exponent[1:])
    return Fraction(digits) * _scale(suffix or "")


def rounded_up(quantity: str | float) -> int:
    """Return a quantity rounded up to a whole number, as ``Quantity.Value``. Raises ValueError."""
    return math.ceil(exact_value(quantity))


def sum_of(quantities: Iterable[str | float]) -> str:
    """Return the sum in the notation of its first term that is not zero: 8Gi + 8Gi is 16Gi, 500m + 1 is 1500m."""
    total, is_binary = Fraction(0), False
    for quantity in quantities:
        if total == 0:
            is_binary = str(quantity).strip().endswith("i")
        total += exact_value(quantity)
    return _canonical(total, is_binary=is_binary)


def _canonical(value: Fraction, *, is_binary: bool) -> str:
    """Return the number with the largest suffix that leaves it whole."""
    if value == 0:
        return "0"
    if is_binary and abs(value) >= 1024:
        for suffix, scale in reversed(_BINARY.items()):
            if (value / scale).denominator == 1:
                return f"{value / scale}{suffix}"
        return str(math.ceil(value))
    for suffix, factor in reversed(_DECIMAL.items()):
        if (value / factor).denominator == 1:
            return f"{value / factor}{suffix}"
    return f"{math.ceil(value / _DECIMAL['n'])}n"


def _scale(suffix: str) -> Fraction:
    return Fraction(_BINARY[suffix]) if suffix in _BINARY else _DECIMAL[suffix]
