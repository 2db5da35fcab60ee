"""PodDisruptionBudgets: what always stands in one, and what is checked. Pure.

Source: Kubernetes ``pkg/apis/policy/validation`` and ``pkg/registry/policy/poddisruptionbudget`` (v1.36).
"""

import re
from collections.abc import Iterator
from typing import Any

from rayfleet.local.apiserver.grammar.label_grammar import label_key_problem
from rayfleet.local.apiserver.grammar.refusal import Cause, invalid, unsupported
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.parts import part

_BOUNDS = ("minAvailable", "maxUnavailable")
_POLICIES = ("AlwaysAllow", "IfHealthyBudget")
_COUNTS = ("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods")
_PERCENT = re.compile(r"[0-9]+%")
_NO_PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for"
    " validation is '[0-9]+%')"
)


def default_budget(budget: Json) -> None:
    """Fill in what a budget always shows, in place."""
    budget.setdefault("spec", {})
    for name in _COUNTS:
        budget.setdefault("status", {}).setdefault(name, 0)


def prepare_budget(new: Json, old: ReadOnlyJson | None) -> None:
    """Set the status of a new budget: nobody has counted yet."""
    if old is None:
        new["status"] = dict.fromkeys(_COUNTS, 0)


def budget_problems(new: ReadOnlyJson, _old: ReadOnlyJson | None) -> list[Cause]:
    """Return what is wrong with a budget."""
    spec = new["spec"]
    causes: list[Cause] = []
    if all(spec.get(name) is not None for name in _BOUNDS):
        causes.append(invalid("spec", dict(spec), "minAvailable and maxUnavailable cannot be both set"))
    for name in _BOUNDS:
        causes += _bound_problems(f"spec.{name}", spec.get(name))
    for key in part(spec, "selector", "matchLabels"):
        if problem := label_key_problem(key):
            causes.append(invalid("spec.selector.matchLabels", key, problem))
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in _POLICIES:
        causes.append(unsupported("spec.unhealthyPodEvictionPolicy", policy, _POLICIES))
    return causes


def _bound_problems(field: str, bound: Any) -> Iterator[Cause]:
    """Yield what is wrong with a count or a percentage; None is not there."""
    if isinstance(bound, int) and bound < 0:
        yield invalid(field, bound, "must be greater than or equal to 0")
    if isinstance(bound, str):
        if not _PERCENT.fullmatch(bound):
            yield invalid(field, bound, _NO_PERCENT)
        elif int(bound[:-1]) > 100:
            yield invalid(field, bound, "must not be greater than 100%")
