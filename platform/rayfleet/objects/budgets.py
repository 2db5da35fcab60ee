"""Facts of a PodDisruptionBudget (policy/v1). Pure."""

from collections.abc import Mapping

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.parts import part


def budget_selector(raw: ReadOnlyJson) -> ReadOnlyJson | None:
    """Return the selector of the pods, None where there is none: it then selects no pod, an empty one selects all."""
    selector: ReadOnlyJson | None = part(raw, "spec").get("selector")
    return selector


def is_of_scale(raw: ReadOnlyJson) -> bool:
    """Whether the budget is a part of what the pods' controllers ask for, and not of the pods that there are."""
    spec = part(raw, "spec")
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def desired_healthy(raw: ReadOnlyJson, expected: int) -> int:
    """Return how many of so many expected pods must stay: of 3, ``50%`` available is 2, ``50%`` unavailable leaves 1.

    Both shares are rounded up, as the disruption controller's.
    """
    spec = part(raw, "spec")
    if spec.get("maxUnavailable") is not None:
        return max(0, expected - _share(spec["maxUnavailable"], expected))
    return _share(spec.get("minAvailable") or 0, expected)


def disrupted_pods(raw: ReadOnlyJson) -> Mapping[str, str]:
    """Return when pods were evicted whose deletion was not yet seen, by their names."""
    return part(raw, "status").get("disruptedPods") or {}


def _share(bound: int | str, whole: int) -> int:
    return bound if isinstance(bound, int) else -(-int(bound.removesuffix("%")) * whole // 100)
