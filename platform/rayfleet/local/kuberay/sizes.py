"""How many pods a worker group has. Pure. Source: KubeRay ray-operator/controllers/ray/utils/util.go (1.6)."""

from rayfleet.model.json import ReadOnlyJson

INT32_MAX = 2147483647


def hosts_of(group: ReadOnlyJson) -> int:
    """Return the pods of one replica of a group."""
    return max(1, int(group.get("numOfHosts") or 1))


def bounds_of(group: ReadOnlyJson) -> tuple[int, int]:
    """Return minReplicas and maxReplicas; absent ones do not bound."""
    low, high = group.get("minReplicas"), group.get("maxReplicas")
    return (0 if low is None else int(low), INT32_MAX if high is None else int(high))


def desired_workers(group: ReadOnlyJson) -> int:
    """Return the pods of a group: replicas within [min, max], times hosts; no replicas means the minimum."""
    if group.get("suspend"):
        return 0
    low, high = bounds_of(group)
    wanted = group.get("replicas")
    if wanted is None or wanted < low:
        return low * hosts_of(group)
    return min(int(wanted), high) * hosts_of(group)
