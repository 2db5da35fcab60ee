"""What to do for a Ray cluster now, and its status. Pure.

Source: KubeRay ray-operator/controllers/ray/raycluster_controller.go (1.6): rayClusterReconcile, reconcilePods,
shouldDeletePod. Its flaws are kept (terminating pods count, head and workers are never restarted together), because
what is built on it has to live with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rayfleet.local.kuberay.groups import group_steps
from rayfleet.local.kuberay.pods import PodOptions, build_head_pod
from rayfleet.local.kuberay.refusals import Refusal, not_imitated, refusal
from rayfleet.local.kuberay.status import Failure, Seen, next_status
from rayfleet.local.kuberay.steps import CreatePod, DeletePod, Step, Stop, is_spent, is_terminating, label_of
from rayfleet.local.kuberay.suspension import Suspension, suspension_of
from rayfleet.model.json import Json, ReadOnlyJson

MANAGERS = ("", "ray.io/kuberay-operator")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedCluster:
    """A RayCluster, the pods that it owns, and its head Services (one, unless somebody meddled)."""

    cluster: ReadOnlyJson
    pods: Sequence[ReadOnlyJson]
    services: Sequence[ReadOnlyJson] = ()
    options: PodOptions = field(default_factory=PodOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Writes to do, in order, up to the first that fails; ``refusal``: only an Event.

    ``is_ours`` False: nothing at all.
    """

    steps: tuple[Step, ...] = ()
    refusal: Refusal | None = None
    notice: str = ""
    is_ours: bool = True


def plan_ray_cluster(observed: ObservedCluster) -> Plan:
    """Return what to do now. A cluster that is being deleted, or is somebody else's, is left alone."""
    cluster = observed.cluster
    if (cluster["spec"].get("managedBy") or "") not in MANAGERS:
        return Plan(is_ours=False)
    refused = refusal(cluster)
    if refused is not None:
        return Plan(refusal=refused)
    if is_terminating(cluster):
        return Plan(is_ours=False)
    return Plan(steps=tuple(_steps(observed)), notice=not_imitated(cluster["spec"]))


def status_after(observed: ObservedCluster, failure: Failure | None, now: datetime) -> Json | None:
    """Return the status to write after a pass over ``observed``, None when there is nothing to write.

    ``failure``: what ended the pass early.
    """
    seen = Seen(cluster=observed.cluster, pods=observed.pods, services=observed.services, failure=failure)
    return next_status(seen, now)


def _steps(observed: ObservedCluster) -> list[Step]:
    cluster, pods = observed.cluster, observed.pods
    suspension = suspension_of(cluster)
    if suspension is Suspension.GOING_ON:
        return [DeletePod(pod=pod, role="All") for pod in pods if not is_terminating(pod)]
    if suspension is Suspension.DONE or cluster["spec"].get("suspend"):
        return []
    steps = _head_steps(observed, [pod for pod in pods if label_of(pod, "ray.io/node-type") == "head"])
    for group in cluster["spec"].get("workerGroupSpecs") or ():
        if any(isinstance(step, Stop) for step in steps):
            return steps
        mine = [
            pod
            for pod in pods
            if label_of(pod, "ray.io/node-type") == "worker" and label_of(pod, "ray.io/group") == group["groupName"]
        ]
        steps += group_steps(cluster, group, mine, observed.options)
    return steps


def _head_steps(observed: ObservedCluster, heads: Sequence[ReadOnlyJson]) -> list[Step]:
    cluster = observed.cluster
    if len(heads) > 1:
        names = " ".join(pod["metadata"]["name"] for pod in heads)
        return [Stop(message=f"{len(heads)} head pods found [{names}]. Please delete extra head pods")]
    if not heads:
        if _keeps_headless(cluster):
            return [Stop(message="", is_failure=False)]
        return [CreatePod(manifest=build_head_pod(cluster, observed.options), role="Head")]
    if not is_spent(heads[0]):
        return []
    name, phase = heads[0]["metadata"]["name"], heads[0]["status"].get("phase")
    stop = Stop(message=f"the head Pod {name} is {phase} and ended; it is deleted, a new one follows")
    return [stop] if is_terminating(heads[0]) else [DeletePod(pod=heads[0], role="Head"), stop]


def _keeps_headless(cluster: ReadOnlyJson) -> bool:
    """Whether a cluster that was up once is to stay without a head."""
    conditions = (cluster.get("status") or {}).get("conditions") or ()
    was_up = any(entry["type"] == "RayClusterProvisioned" and entry["status"] == "True" for entry in conditions)
    annotations = cluster["metadata"].get("annotations") or {}
    return was_up and annotations.get("ray.io/disable-provisioned-head-restart") == "true"
