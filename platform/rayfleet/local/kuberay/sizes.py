"""How many pods a worker group has. Pure."""

from typing import Any

JsonObject = dict[str, Any]


def desired_workers(group: JsonObject) -> int:
    """Return the pods of a group: replicas within [min, max], times hosts; no replicas means the minimum."""
    if group.get("suspend"):
        return 0
    low, high = group.get("minReplicas") or 0, group.get("maxReplicas", 2147483647)
    wanted = group.get("replicas")
    count = low if wanted is None else min(max(wanted, low), high)
    return int(count) * int(group.get("numOfHosts") or 1)
