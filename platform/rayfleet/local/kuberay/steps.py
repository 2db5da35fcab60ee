"""Single writes of a plan for a Ray cluster with the Events that KubeRay tells of them, and what ends a pass. Pure."""

from dataclasses import dataclass
from typing import Literal

from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import PODS
from rayfleet.objects.meta import key_of
from rayfleet.objects.pods import is_finished, phase_of, ray_container_status, terminated_of
from rayfleet.planning.writes import KEY_MARK, Action, Create, Delete, Event, ref_of

Role = Literal["Head", "Worker", "All"]
"""Names Events and the failure's reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """End the pass here, and come back; ``is_failure`` False: there is nothing to come back for."""

    message: str
    is_failure: bool = True


Step = Action | Stop


def created_pod(manifest: ReadOnlyJson, role: Role) -> Create:
    """Return the creation of a pod; the server completes its name."""
    event = Event(reason=f"Created{role}Pod", message=f"Created {role.lower()} Pod {KEY_MARK}")
    return Create(resource=PODS, manifest=manifest, event=event)


def deleted_pod(pod: ReadOnlyJson, role: Role) -> Delete:
    """Return the deletion of a pod that was seen."""
    message = f"Deleted {role.lower()} Pod {key_of(pod)}; Pod status: {phase_of(pod)}"
    return Delete(resource=PODS, ref=ref_of(pod), event=Event(reason=f"Deleted{role}Pod", message=message))


def suspended_pod(pod: ReadOnlyJson, cluster: ReadOnlyJson) -> Delete:
    """Return the deletion of a pod of a Ray cluster that is being suspended."""
    message = f"Deleted Pods for RayCluster {key_of(cluster)} due to suspension"
    return Delete(resource=PODS, ref=ref_of(pod), event=Event(reason="DeletedPod", message=message))


def suspended_worker(pod: ReadOnlyJson, cluster: ReadOnlyJson, group: str) -> Delete:
    """Return the deletion of a pod of a worker group that is suspended."""
    message = f"Deleted all pods for suspended worker group {group} in RayCluster {key_of(cluster)}"
    return Delete(resource=PODS, ref=ref_of(pod), event=Event(reason="DeletedWorkerPod", message=message))


def is_spent(pod: ReadOnlyJson) -> bool:
    """Whether KubeRay deletes the pod: it failed or finished, or its Ray container ended and may not start again."""
    if is_finished(pod):
        return True
    if phase_of(pod) != "Running" or pod["spec"].get("restartPolicy") != "Never":
        return False
    return bool(terminated_of(ray_container_status(pod)))
