"""Kubernetes quantities (``500m``, ``8Gi``, ``4``) as numbers. Pure. Source: apimachinery, resource.Quantity."""

import math

_SUFFIXES = {
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60,
}  # fmt: skip


def quantity_value(quantity: str | float) -> float:
    """Return the number that a quantity means. Raises ValueError."""
    text = str(quantity).strip()
    digits = text.rstrip("numkKMGTPEi")
    suffix = text[len(digits) :]
    if suffix not in _SUFFIXES or not digits:
        raise ValueError(f"{quantity!r} is not a quantity such as 500m, 4 or 8Gi")
    return float(digits) * _SUFFIXES[suffix]


def whole_quantity(quantity: str | float) -> int:
    """Return a quantity rounded up to a whole number, as resourceFieldRef does. Raises ValueError."""
    return math.ceil(quantity_value(quantity) - 1e-9)
