"""Facts of security contexts: as whom a container is to run. Pure.

Source: Kubernetes 1.36, ``PodSecurityContext`` and ``SecurityContext``: the container's word comes before its pod's.
"""

from dataclasses import dataclass

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.parts import part


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAs:
    """Numbers of the user and the group, None where nobody says; ``further`` are the pod's other groups."""

    container: str
    user: int | None
    group: int | None
    is_never_root: bool
    further: frozenset[int]


def run_as(pod: ReadOnlyJson, container: ReadOnlyJson) -> RunAs:
    """Return as whom a container of a pod is to run; what is no number counts as absent."""
    of_pod = part(pod, "spec", "securityContext")
    stated = {**of_pod, **part(container, "securityContext")}
    groups = of_pod.get("supplementalGroups")
    further = [*(groups if isinstance(groups, list) else ()), of_pod.get("fsGroup")]
    return RunAs(
        container=str(container.get("name") or ""),
        user=_number(stated.get("runAsUser")),
        group=_number(stated.get("runAsGroup")),
        is_never_root=bool(stated.get("runAsNonRoot")),
        further=frozenset(number for each in further if (number := _number(each)) is not None),
    )


def fs_group(pod: ReadOnlyJson) -> int | None:
    """Return the group that a pod's volumes belong to, None where nobody says."""
    return _number(part(pod, "spec", "securityContext").get("fsGroup"))


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
