"""What the installed KubeRay is too old for, said of a replica that comes up: the cause of whatever its pods say. Pure.

A field that its definition of RayClusters does not know is dropped by the API server without a word, and a condition
that it does not tell is awaited for ever. Source: KubeRay's CRDs (``authOptions`` since 1.5.1) and ``pkg/features``
(RayClusterStatusConditions: on since 1.3).
"""

from dataclasses import replace

from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.model.replica import ReplicaPhase, ReplicaState
from rayfleet.objects.ray_spec import wants_tokens
from rayfleet.planning.replica.obstacles import Calm

KUBERAY_TOO_OLD = "KubeRayTooOld"

_COMING_UP = frozenset(
    {
        ReplicaPhase.PENDING,
        ReplicaPhase.SCHEDULING,
        ReplicaPhase.PULLING,
        ReplicaPhase.RAY_FORMING,
        ReplicaPhase.ENGINE_LOADING,
        ReplicaPhase.WARMING,
    }
)
_NO_TOKENS = (
    "spec.authOptions, by which KubeRay gives Ray's nodes their token, was not kept: the definition of RayClusters is "
    "older than KubeRay 1.5.1"
)
_NO_CONDITIONS = (
    "KubeRay tells no condition HeadPodReady: it is older than 1.3, or its feature RayClusterStatusConditions is off"
)


def with_kuberays_age(state: ReplicaState, cluster: RayCluster, asked: ReadOnlyJson) -> ReplicaState:
    """Return the state with what KubeRay is too old for, if anything; ``asked`` is the template's spec."""
    if state.phase not in _COMING_UP or state.reason == Calm.SUSPENDED:
        return state
    if wants_tokens(asked) and not cluster.has_auth_options:
        return _told(state, _NO_TOKENS)
    return _told(state, _NO_CONDITIONS) if cluster.lacks_conditions else state


def _told(state: ReplicaState, message: str) -> ReplicaState:
    return replace(state, reason=KUBERAY_TOO_OLD, message=message, pod="", container="")
