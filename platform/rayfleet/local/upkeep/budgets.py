"""How many pods of a disruption budget are healthy, and how many may go. Pure.

As the disruption controller, for ``minAvailable`` as a number. What a share or ``maxUnavailable`` is of, it asks the
scale of the pods' controllers; a Ray cluster has none, so there and here such a budget lets nothing go, and says so.
Evictions count down what is written here until the pod that they name is seen to go. Source: Kubernetes v1.36
pkg/controller/disruption/disruption.go.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rayfleet.manifest.template import decode_selector
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import DISRUPTION_BUDGETS
from rayfleet.objects.budgets import budget_selector, disrupted_pods, least_available
from rayfleet.objects.conditions import conditions_of, since
from rayfleet.objects.meta import generation_of, is_terminating, labels_of, name_of
from rayfleet.objects.parts import part
from rayfleet.objects.pods import is_ready
from rayfleet.objects.selectors import selects
from rayfleet.objects.times import decode_time
from rayfleet.planning.plan import StatelessPlan
from rayfleet.planning.writes import ref_of, status_permission, status_replaced

BUDGET_WRITES = frozenset({status_permission(DISRUPTION_BUDGETS)})

_ALLOWED = "DisruptionAllowed"
_COUNTS = ("currentHealthy", "desiredHealthy", "expectedPods")
_GONE_WITHIN = timedelta(minutes=2)
"""So long an evicted pod counts as going, until its deletion is seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedBudget:
    """A budget, and the pods of its namespace that it selects."""

    budget: ReadOnlyJson
    pods: Sequence[ReadOnlyJson]


def is_of_budget(budget: ReadOnlyJson, pod: ReadOnlyJson) -> bool:
    """Whether a budget selects a pod of its namespace; without a selector it selects none."""
    selector = budget_selector(budget)
    return selector is not None and selects(decode_selector(selector), labels_of(pod))


def plan_budget(observed: ObservedBudget, now: datetime) -> StatelessPlan:
    """Return the write of a budget's status where it is another; it names the version, for evictions write it too."""
    budget = observed.budget
    disrupted = _disrupted(observed, now)
    allowed, counts = _counts(observed, disrupted)
    status = {
        **counts,
        "disruptionsAllowed": allowed,
        "observedGeneration": generation_of(budget),
        "conditions": [_condition(budget, allowed, now)],
        **({"disruptedPods": dict(disrupted)} if disrupted else {}),
    }
    ends = [time + _GONE_WITHIN - now for each in disrupted.values() if (time := decode_time(each)) is not None]
    ref = ref_of(budget, at_this_version=True)
    is_same = status == part(budget, "status")
    return StatelessPlan(
        actions=() if is_same else (status_replaced(DISRUPTION_BUDGETS, ref, status),),
        status=None,
        requeue_after=min(ends, default=None),
    )


def _counts(observed: ObservedBudget, disrupted: Mapping[str, str]) -> tuple[int, Json]:
    """Return how many pods may go, and the counts that it rests on."""
    pods, least = observed.pods, least_available(observed.budget)
    if least is None:
        before = part(observed.budget, "status")
        return 0, {name: before.get(name, 0) for name in _COUNTS}
    staying = [pod for pod in pods if not is_terminating(pod) and name_of(pod) not in disrupted]
    healthy = sum(map(is_ready, staying))
    allowed = max(0, healthy - least) if pods else 0
    return allowed, dict(zip(_COUNTS, (healthy, least, len(pods)), strict=True))


def _disrupted(observed: ObservedBudget, now: datetime) -> Mapping[str, str]:
    """Return the evicted pods whose deletion is still awaited, with the time of their eviction."""
    noted = disrupted_pods(observed.budget)
    there = {name_of(pod) for pod in observed.pods if not is_terminating(pod)}
    return {name: at for name, at in noted.items() if name in there and _is_awaited(at, now)}


def _is_awaited(evicted: str, now: datetime) -> bool:
    time = decode_time(evicted)
    return time is not None and time + _GONE_WITHIN >= now


def _condition(budget: ReadOnlyJson, allowed: int, now: datetime) -> Json:
    status, reason, message = "False", "InsufficientPods", ""
    if least_available(budget) is None:
        reason, message = "SyncFailed", "only minAvailable as a number is counted: a Ray cluster has no scale"
    elif allowed:
        status, reason = "True", "SufficientPods"
    return {
        "type": _ALLOWED,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation_of(budget),
        "lastTransitionTime": since(conditions_of(budget), _ALLOWED, status, now),
    }
