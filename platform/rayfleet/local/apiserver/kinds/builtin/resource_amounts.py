"""What a container may ask for: names of resources, amounts, and requests within limits. Pure.

Source: Kubernetes ``pkg/apis/core/validation`` and ``pkg/apis/core/helper`` (v1.36), with their messages.
"""

from collections.abc import Iterator, Mapping

from rayfleet.local.apiserver.grammar.label_grammar import label_key_problem
from rayfleet.local.apiserver.grammar.refusal import Cause, forbidden_field, invalid, required
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.quantity import Quantity

_HUGE = "hugepages-"
_OF_CONTAINERS = ("cpu", "ephemeral-storage", "memory")
_OF_QUOTAS = (
    "configmaps",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
    "requests.storage",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
    "storage",
)
_STANDARD = frozenset({*_OF_CONTAINERS, *_OF_QUOTAS})


def resource_problems(resources: ReadOnlyJson, field: str) -> list[Cause]:
    """Return what is wrong with a container's ``resources``, which lie at ``field``; amounts are quantities."""
    limits, requests = (_amounts(resources, group) for group in ("limits", "requests"))
    causes = [each for name, amount in limits.items() for each in _amount_problems(name, amount, f"{field}.limits")]
    for name, amount in requests.items():
        causes += [*_amount_problems(name, amount, f"{field}.requests"), *_excess(name, amount, limits, field)]
    names = limits.keys() | requests.keys()
    if any(name.startswith(_HUGE) for name in names) and not names & {"cpu", "memory"}:
        causes.append(forbidden_field(field, "HugePages require cpu or memory"))
    return causes


def _amounts(resources: ReadOnlyJson, group: str) -> Mapping[str, Quantity]:
    return {name: Quantity.parse(amount) for name, amount in (resources.get(group) or {}).items()}


def _amount_problems(name: str, amount: Quantity, group: str) -> Iterator[Cause]:
    field = f"{group}[{name}]"
    yield from _name_problems(name, field)
    if amount.amount < 0:
        yield invalid(field, str(amount), "must be greater than or equal to 0")
    if _is_extended(name) and amount.amount.denominator != 1:
        yield invalid(field, str(amount), "must be an integer")
    if name.startswith(_HUGE) and not _fills_pages(name, amount):
        yield invalid(field, str(amount), f"{amount} is not positive integer multiple of {name}")


def _name_problems(name: str, field: str) -> Iterator[Cause]:
    problem = label_key_problem(name)
    if problem:
        yield invalid(field, name, problem)
    if "/" not in name:
        if not problem and name not in _STANDARD and not name.startswith(_HUGE):
            yield invalid(field, name, "must be a standard resource type or fully qualified")
        if name not in _OF_CONTAINERS and not name.startswith(_HUGE):
            yield invalid(field, name, "must be a standard resource for containers")
    elif not (_is_native(name) or _is_extended(name)):
        yield invalid(field, name, "doesn't follow extended resource name standard")


def _excess(name: str, request: Quantity, limits: Mapping[str, Quantity], field: str) -> Iterator[Cause]:
    """Yield what is wrong with a request beside its limit; devices cannot be asked for beyond what is there."""
    limit = limits.get(name)
    is_shared = _is_native(name) and not name.startswith(_HUGE)
    if limit is None:
        if not is_shared:
            yield required(f"{field}.limits", "Limit must be set for non overcommitable resources")
    elif not is_shared and request.amount != limit.amount:
        yield invalid(f"{field}.requests", str(request), f"must be equal to {name} limit of {limit}")
    elif request.amount > limit.amount:
        yield invalid(f"{field}.requests", str(request), f"must be less than or equal to {name} limit of {limit}")


def _is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def _is_extended(name: str) -> bool:
    return not _is_native(name) and not name.startswith("requests.") and not label_key_problem(f"requests.{name}")


def _fills_pages(name: str, amount: Quantity) -> bool:
    try:
        size = Quantity.parse(name.removeprefix(_HUGE)).amount
    except ValueError:
        return False
    return size > 0 and (amount.amount / size).denominator == 1
