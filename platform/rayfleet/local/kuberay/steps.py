"""The writes that a plan for a Ray cluster is made of, and the questions to a pod that decide them. Pure."""

from dataclasses import dataclass
from typing import Literal

from rayfleet.model.json import Json, ReadOnlyJson

Role = Literal["Head", "Worker", "All"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePod:
    """Create a pod; ``role`` names Events and the failure's reason."""

    manifest: Json
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletePod:
    """Delete a pod that was seen, by name and UID."""

    pod: ReadOnlyJson
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """End the pass here, and come back; ``is_failure`` False: there is nothing to come back for."""

    message: str
    is_failure: bool = True


Step = CreatePod | DeletePod | Stop


def is_terminating(manifest: ReadOnlyJson) -> bool:
    """Whether an object is being deleted."""
    return "deletionTimestamp" in manifest["metadata"]


def is_spent(pod: ReadOnlyJson) -> bool:
    """Whether KubeRay deletes the pod: it failed or finished, or its Ray container ended and may not start again."""
    status = pod.get("status") or {}
    if status.get("phase") in {"Failed", "Succeeded"}:
        return True
    if status.get("phase") != "Running" or pod["spec"].get("restartPolicy") != "Never":
        return False
    ray = pod["spec"]["containers"][0]["name"]
    states = {entry["name"]: entry.get("state") or {} for entry in status.get("containerStatuses") or ()}
    return bool(states.get(ray, {}).get("terminated"))


def label_of(pod: ReadOnlyJson, name: str) -> str:
    """Return a label's value, empty without it."""
    return str((pod["metadata"].get("labels") or {}).get(name, ""))
