"""How many pods of a disruption budget are healthy, and how many may go. Pure.

As the disruption controller: what a share or ``maxUnavailable`` is of, the scales of the pods' controllers say
(``scales``). A Ray cluster has none, so there and here such a budget of its pods lets nothing go, and says so.
Evictions count down what is written here until the pod that they name is seen to go. Source: Kubernetes v1.36
pkg/controller/disruption/disruption.go.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rayfleet.manifest.template import decode_selector
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import DISRUPTION_BUDGETS
from rayfleet.objects.budgets import budget_selector, desired_healthy, disrupted_pods
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
_GONE_WITHIN = timedelta(minutes=2)
"""So long an evicted pod counts as going, until its deletion is seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedBudget:
    """A budget, and the pods of its namespace that it selects.

    ``expected`` is how many there are to be; ``problem`` is why that cannot be told, empty when it can.
    """

    budget: ReadOnlyJson
    pods: Sequence[ReadOnlyJson]
    expected: int
    problem: str = ""


def is_of_budget(budget: ReadOnlyJson, pod: ReadOnlyJson) -> bool:
    """Whether a budget selects a pod of its namespace; without a selector it selects none."""
    selector = budget_selector(budget)
    return selector is not None and selects(decode_selector(selector), labels_of(pod))


def plan_budget(observed: ObservedBudget, now: datetime) -> StatelessPlan:
    """Return the write of a budget's status where it is another; it names the version, for evictions write it too."""
    budget = observed.budget
    if observed.problem:
        return _written(budget, _failed(budget, observed.problem, now))
    disrupted = _disrupted(observed, now)
    healthy = _healthy(observed, disrupted)
    desired = desired_healthy(budget, observed.expected)
    allowed = max(0, healthy - desired) if observed.expected > 0 else 0
    reason = "SufficientPods" if allowed else "InsufficientPods"
    status = {
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": observed.expected,
        "disruptionsAllowed": allowed,
        "observedGeneration": generation_of(budget),
        "conditions": [_condition(budget, reason, "", now) | {"observedGeneration": generation_of(budget)}],
        **({"disruptedPods": dict(disrupted)} if disrupted else {}),
    }
    ends = [time + _GONE_WITHIN - now for each in disrupted.values() if (time := decode_time(each)) is not None]
    return replace(_written(budget, status), requeue_after=min(ends, default=None))


def _written(budget: ReadOnlyJson, status: ReadOnlyJson) -> StatelessPlan:
    """Return the write of a status, nothing when it is the same."""
    if status == part(budget, "status"):
        return StatelessPlan(status=None)
    write = status_replaced(DISRUPTION_BUDGETS, ref_of(budget, at_this_version=True), status)
    return StatelessPlan(actions=(write,), status=None)


def _failed(budget: ReadOnlyJson, problem: str, now: datetime) -> Json:
    """Return the status of a budget that cannot be counted: nothing may go, the rest stays as it was."""
    before = part(budget, "status")
    return {**before, "disruptionsAllowed": 0, "conditions": [_condition(budget, "SyncFailed", problem, now)]}


def _healthy(observed: ObservedBudget, disrupted: Mapping[str, str]) -> int:
    """Return how many pods are ready and stay."""
    staying = (pod for pod in observed.pods if not is_terminating(pod) and name_of(pod) not in disrupted)
    return sum(map(is_ready, staying))


def _disrupted(observed: ObservedBudget, now: datetime) -> Mapping[str, str]:
    """Return the evicted pods whose deletion is still awaited, with the time of their eviction."""
    noted = disrupted_pods(observed.budget)
    there = {name_of(pod) for pod in observed.pods if not is_terminating(pod)}
    return {name: at for name, at in noted.items() if name in there and _is_awaited(at, now)}


def _is_awaited(evicted: str, now: datetime) -> bool:
    time = decode_time(evicted)
    return time is not None and time + _GONE_WITHIN >= now


def _condition(budget: ReadOnlyJson, reason: str, message: str, now: datetime) -> Json:
    status = "True" if reason == "SufficientPods" else "False"
    return {
        "type": _ALLOWED,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since(conditions_of(budget), _ALLOWED, status, now),
    }
