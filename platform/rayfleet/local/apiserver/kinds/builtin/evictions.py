"""Whether a pod's disruption budget lets it be evicted, and what an eviction writes. Pure.

Source: Kubernetes ``pkg/registry/core/pod/storage/eviction.go`` (v1.36). Counts are not made here: the disruption
controller's are read, and one is taken away, so that two evictions never spend the same.
"""

from collections.abc import Sequence
from datetime import datetime

from rayfleet.local.apiserver.grammar.refusal import Refusal, forbidden
from rayfleet.manifest.template import decode_selector
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.budgets import budget_selector, disrupted_pods
from rayfleet.objects.conditions import conditions_of
from rayfleet.objects.meta import generation_of, is_terminating, labels_of, name_of
from rayfleet.objects.parts import part
from rayfleet.objects.pods import is_ready, phase_of
from rayfleet.objects.selectors import selects
from rayfleet.objects.times import encode_time

TARGET = "DisruptionTarget"
ALLOWED = "DisruptionAllowed"
_MOST_DISRUPTED = 2000
_WOULD_VIOLATE = "Cannot evict pod as it would violate the pod's disruption budget."
_SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."


def budgets_of(pod: ReadOnlyJson, budgets: Sequence[ReadOnlyJson]) -> list[ReadOnlyJson]:
    """Return those of a namespace's budgets that select the pod; one without selector selects none."""
    return [each for each in budgets if _selects(each, pod)]


def spent_budget(pod: ReadOnlyJson, budgets: Sequence[ReadOnlyJson], now: datetime) -> Json | None:
    """Return the budget, less one disruption, that the pod's eviction is on; None when it costs none.

    ``budgets`` are those of the pod. Raises Refusal: 429 while none may be disrupted, 403, 500 for several budgets.
    """
    if phase_of(pod) in ("Succeeded", "Failed", "Pending") or is_terminating(pod) or not budgets:
        return None
    if len(budgets) > 1:
        raise Refusal(500, "", _SEVERAL)
    [budget] = budgets
    status = part(budget, "status")
    if not is_ready(pod) and _spares_unready(budget, status):
        return None
    return _decremented(budget, status, name_of(pod), now)


def marked_pod(pod: Json, now: datetime) -> Json:
    """Return the pod with the condition that says why it goes; may change what it is given."""
    status = pod.setdefault("status", {})
    condition = {
        "type": TARGET,
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
        "lastProbeTime": None,
        "lastTransitionTime": encode_time(now),
    }
    status["conditions"] = [*(each for each in conditions_of(pod) if each.get("type") != TARGET), condition]
    return pod


def _selects(budget: ReadOnlyJson, pod: ReadOnlyJson) -> bool:
    selector = budget_selector(budget)
    return selector is not None and selects(decode_selector(selector), labels_of(pod))


def _spares_unready(budget: ReadOnlyJson, status: ReadOnlyJson) -> bool:
    """Whether a pod that is not ready may go without counting."""
    if part(budget, "spec").get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    return bool(status["currentHealthy"] >= status["desiredHealthy"] > 0)


def _decremented(budget: ReadOnlyJson, status: ReadOnlyJson, pod: str, now: datetime) -> Json:
    name, allowed, disrupted = name_of(budget), status["disruptionsAllowed"], disrupted_pods(budget)
    if (status.get("observedGeneration") or 0) < generation_of(budget):
        raise _held_back(f"The disruption budget {name} is still being processed by the server.", retry_after=10)
    if allowed < 0:
        raise forbidden("policy", "poddisruptionbudget", name, "pdb disruptions allowed is negative")
    if len(disrupted) > _MOST_DISRUPTED:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise forbidden("policy", "poddisruptionbudget", name, why)
    if allowed == 0:
        needs, has = status["desiredHealthy"], status["currentHealthy"]
        raise _held_back(f"The disruption budget {name} needs {needs} healthy pods and has {has} currently")
    changed = {**status, "disruptionsAllowed": allowed - 1, "disruptedPods": {**disrupted, pod: encode_time(now)}}
    if allowed == 1:
        changed["conditions"] = [_turned(each, now) for each in conditions_of({"status": status})]
    return {**budget, "status": changed}


def _turned(condition: Json, now: datetime) -> Json:
    if condition.get("type") != ALLOWED or condition.get("status") == "False":
        return condition
    turned = {"status": "False", "reason": "InsufficientPods", "lastTransitionTime": encode_time(now)}
    return {**condition, **turned}


def _held_back(why: str, *, retry_after: int = 0) -> Refusal:
    details: Json = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    if retry_after:
        details["retryAfterSeconds"] = retry_after
    return Refusal(429, "TooManyRequests", _WOULD_VIOLATE, details=details, retry_after=retry_after)
