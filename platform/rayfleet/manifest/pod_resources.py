"""What an API server refuses in a container's resources, said before KubeRay tries to make the pod. Pure.

KubeRay would note ``FailedCreate`` and try for ever. Source: Kubernetes pkg/apis/core/validation (v1.36),
``ValidateContainerResourceRequirements``: known or qualified names, no negative amount, extended resources whole and
with equal limit and request, no request above its limit.
"""

from collections.abc import Iterator
from typing import Any

from rayfleet.manifest.checking import child_path, shown
from rayfleet.model.errors import FieldError
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.parts import mapping, part
from rayfleet.objects.quantity import Quantity

_STANDARD = frozenset({"cpu", "memory", "ephemeral-storage"})
_NATIVE_DOMAIN = "kubernetes.io/"


def resource_errors(container: ReadOnlyJson, path: str) -> Iterator[FieldError]:
    """Yield what is wrong with the requests and limits of the container at ``path``."""
    here = f"{path}.resources"
    amounts: dict[str, dict[str, Quantity]] = {"limits": {}, "requests": {}}
    for kind, known in amounts.items():
        for name, value in mapping(part(container, "resources").get(kind)).items():
            field = child_path(f"{here}.{kind}", name)
            amount = _quantity(value)
            if amount is None:
                yield FieldError(path=field, message=f"{shown(value)} is no quantity (such as 500m, 2 or 8Gi)")
            elif message := _alone(name, value, amount):
                yield FieldError(path=field, message=message)
            else:
                known[name] = amount
    for name in dict.fromkeys((*amounts["limits"], *amounts["requests"])):
        yield from _together(name, amounts["limits"].get(name), amounts["requests"].get(name), here)


def _alone(name: str, value: Any, amount: Quantity) -> str:
    """Return what is wrong with one amount, empty when nothing is."""
    if amount.amount < 0:
        return f"{shown(value)} must not be negative"
    if not _is_extended(name):
        is_known = "/" in name or name in _STANDARD or name.startswith("hugepages-")
        return "" if is_known else "is no resource of a container (accelerators have a domain, as nvidia.com/gpu)"
    is_whole = amount.amount.denominator == 1
    return "" if is_whole else f"{shown(value)} is no whole number: Kubernetes does not divide accelerators"


def _together(name: str, limit: Quantity | None, request: Quantity | None, path: str) -> Iterator[FieldError]:
    field = child_path(f"{path}.limits", name)
    if _is_extended(name) and (limit is None or (request is not None and request.amount != limit.amount)):
        stated = f"{limit} and {request}" if limit is not None else f"nothing and {request}"
        yield FieldError(path=field, message=f"limit and request must be the same, they are {stated}")
    elif limit is not None and request is not None and request.amount > limit.amount:
        request_field = child_path(f"{path}.requests", name)
        yield FieldError(path=request_field, message=f"{request} is more than the limit, {limit}")


def _is_extended(name: str) -> bool:
    """Whether a resource is one that nodes offer beside Kubernetes' own."""
    return "/" in name and _NATIVE_DOMAIN not in name


def _quantity(value: Any) -> Quantity | None:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    try:
        return Quantity.parse(value)
    except ValueError:
        return None
