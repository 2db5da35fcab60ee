"""Whether a Ray cluster on its way out still keeps its place, and with it its accelerators. Pure.

Its object is there until its pods are gone (foreground deletion). A pod of a node that died hangs in Terminating for as
long as the node's object is there, and nobody ends it (lws#508, grove#401). Its accelerators are no one's then: they
are not on offer, and another Ray cluster cannot get them twice. So a Ray cluster all of whose pods are dead in this
sense makes room; one whose pods may only be slow does not.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from rayfleet.model.fleet import ReplicaSetSpec
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.policies import ReplacementPolicy
from rayfleet.objects.conditions import reason_of
from rayfleet.objects.meta import deleted_at
from rayfleet.objects.pods import is_finished, is_ready, status_reason
from rayfleet.objects.ray_spec import accelerators
from rayfleet.planning.replica_set.replicas import Replica

SILENCE = timedelta(minutes=5)
"""A kubelet that lives has killed a pod long before: the grace period is over in the deletionTimestamp already."""
SILENCE_OF_A_LOST_NODE = timedelta(seconds=30)
_EVICTIONS = frozenset({"DeletionByTaintManager", "DeletionByPodGC"})


def holds_place(spec: ReplicaSetSpec) -> bool:
    """Whether terminating ones keep their place: as the policy says, else when they ask for accelerators."""
    if spec.replacement_policy is not None:
        return spec.replacement_policy is ReplacementPolicy.TERMINATION_COMPLETE
    return accelerators(spec.template.spec) > 0


def lost_after(pods: Sequence[ReadOnlyJson]) -> datetime | None:
    """Return from when on these pods of a terminating Ray cluster count as dead; None: nothing says that they are."""
    left = [pod for pod in pods if not is_finished(pod)]
    times = [_dead_after(pod) for pod in left]
    known = [time for time in times if time is not None]
    return max(known) if known and len(known) == len(left) else None


def is_lost(replica: Replica, now: datetime) -> bool:
    """Whether nothing will end a terminating Ray cluster's pods any more."""
    after = lost_after(replica.pods)
    return after is not None and after <= now


def _dead_after(pod: ReadOnlyJson) -> datetime | None:
    asked = deleted_at(pod)
    if asked is None or is_ready(pod):
        return None
    is_node_lost = status_reason(pod) == "NodeLost" or reason_of(pod, "DisruptionTarget") in _EVICTIONS
    return asked + (SILENCE_OF_A_LOST_NODE if is_node_lost else SILENCE)
