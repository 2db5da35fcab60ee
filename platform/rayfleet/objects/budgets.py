"""Facts of a PodDisruptionBudget (policy/v1). Pure."""

from collections.abc import Mapping

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.parts import part


def budget_selector(raw: ReadOnlyJson) -> ReadOnlyJson | None:
    """Return the selector of the pods, None where there is none: it then selects no pod, an empty one selects all."""
    selector: ReadOnlyJson | None = part(raw, "spec").get("selector")
    return selector


def least_available(raw: ReadOnlyJson) -> int | None:
    """Return how many pods must stay, None where that is a share or ``maxUnavailable`` is said instead."""
    least = part(raw, "spec").get("minAvailable")
    return least if isinstance(least, int) else None


def disrupted_pods(raw: ReadOnlyJson) -> Mapping[str, str]:
    """Return when pods were evicted whose deletion was not yet seen, by their names."""
    return part(raw, "status").get("disruptedPods") or {}
