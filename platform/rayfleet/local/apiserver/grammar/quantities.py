"""Resource quantities in the one form that the API server writes. Pure.

Source: apimachinery ``resource.Quantity`` (v1.36): no precision is lost, no fraction is shown, the suffix is as large
as possible: 0.5 is 500m, 1000m is 1, 1024Ki is 1Mi, 1.5Gi is 1536Mi. What is finer than a milli-unit is rounded up, as
the defaults of every list of resources do.
"""

import re
from decimal import ROUND_CEILING, Decimal

_FORM = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?[0-9]+)?")
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL = ("m", "", "k", "M", "G", "T", "P", "E")
_SCALES = {"n": -3, "u": -2} | {suffix: place - 1 for place, suffix in enumerate(_DECIMAL)}


def canonical_quantity(text: str) -> str:
    """Return ``text`` in its canonical form. Raises ValueError for what is no quantity."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(text)
    number, suffix = Decimal(found[1]), found[2] or ""
    if suffix in _BINARY[1:]:
        amount = number * Decimal(1024) ** _BINARY.index(suffix)
        if amount == amount.to_integral_value() and abs(amount) >= 1024:
            return _binary(int(amount))
        return _decimal(amount)
    if suffix[:1] in ("e", "E") and len(suffix) > 1:
        return _exponent(number * Decimal(10) ** int(suffix[1:]))
    return _decimal(number * Decimal(1000) ** _SCALES[suffix])


def _binary(amount: int) -> str:
    power = 0
    while amount and amount % 1024 == 0 and power < len(_BINARY) - 1:
        amount, power = amount // 1024, power + 1
    return f"{amount}{_BINARY[power]}"


def _decimal(amount: Decimal) -> str:
    whole = int((amount * Decimal(10) ** 3).to_integral_value(rounding=ROUND_CEILING))
    power = 0
    while whole and whole % 1000 == 0 and power < len(_DECIMAL) - 1:
        whole, power = whole // 1000, power + 1
    return f"{whole}{_DECIMAL[power]}" if whole else "0"


def _exponent(amount: Decimal) -> str:
    whole = int((amount * Decimal(10) ** 3).to_integral_value(rounding=ROUND_CEILING))
    power = -3
    while whole and whole % 1000 == 0:
        whole, power = whole // 1000, power + 3
    if not whole:
        return "0"
    return f"{whole}e{power}" if power else str(whole)
