"""What blocks a fleet, and what to do about it: one table from reasons to advice. Pure.

Read from the fleet's own status (conditions, ``replicaStates``), so that every command says the same. A reason that is
not in the table gets the nearest place to look. Reasons are Kubernetes' (kubelet, scheduler, Deployment), KubeRay's,
and ours.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rayfleet.model.conditions import Condition, ConditionStatus
from rayfleet.model.fleet import FleetStatus
from rayfleet.model.meta import ObjectKey
from rayfleet.model.replica import ReplicaPhase, ReplicaState
from rayfleet.objects.labels import RESUME_ANNOTATION
from rayfleet.planning.fleet.conditions import WARM_UP_BLOCKED
from rayfleet.planning.replica.obstacles import Calm
from rayfleet.planning.replica.summary import in_trouble

_TRUE, _FALSE = ConditionStatus.TRUE, ConditionStatus.FALSE
# Conditions that tell of trouble, with the status that does.
_TROUBLE: Mapping[str, ConditionStatus] = {
    "Invalid": _TRUE,
    "ReplicaFailure": _TRUE,
    "RolledBack": _TRUE,
    "WriteRefused": _TRUE,
    "Progressing": _FALSE,
    "Routed": _FALSE,
    "RouteAccepted": _FALSE,
}
_ENDED = "`rayfleet logs pod/{pod} -c {container} --previous` shows its last words."
_ENGINE = "`rayfleet logs pod/{pod}` shows what it says. A replica that was ready is rebuilt when its grace is over."
_COMMAND = re.compile(r"`((?:rayfleet|kubectl) [^`]*)`")
_PLACE = re.compile(r"\{(\w+)\}")
_RETRIED = "What refused it is named; once that is lifted it is tried again by itself."
_GONE = "Nothing to do unless it lasts: the replica is made anew elsewhere."

ADVICE: Mapping[str, str] = {
    # Pods
    "Unschedulable": "Free or add what is short, or ask for less; `rayfleet get nodes` shows the nodes.",
    "SchedulingGated": "Something holds the pod back on purpose (spec.schedulingGates); `rayfleet describe pod/{pod}`.",
    "ErrImagePull": "Mend the image's name or its pull secret in the manifest and apply it; "
    "`rayfleet rollout undo rcf/{fleet}` goes back meanwhile.",
    "InvalidImageName": "Mend the image's name in the manifest and apply it.",
    "ErrImageNeverPull": "Bring the image to the node, or let imagePullPolicy fetch it.",
    "CreateContainerConfigError": "A ConfigMap, a Secret or a key of one is missing; make it, or mend its name.",
    "CreateContainerError": "`rayfleet describe pod/{pod}` shows what the node says.",
    "RunContainerError": "`rayfleet describe pod/{pod}` shows what the node says.",
    "CrashLoopBackOff": _ENDED,
    "ContainerRestarted": _ENDED,
    "Error": _ENDED,
    "Completed": "The engine ended by itself, which a server never should; " + _ENDED,
    "OOMKilled": "Raise the container's memory limit, or load less (shorter context, smaller cache).",
    "Evicted": "The node ran short of something; `rayfleet describe pod/{pod}` says of what.",
    "NodeLost": "The node does not answer; look at it, or delete it so that its pods are let go.",
    "PodTerminating": _GONE,
    "PodStuck": "Its node does not let it go: look at the node. Only when that is known to be dead: "
    "`kubectl delete pod {pod} --force`.",
    "Disrupted": _GONE,
    "EvictionByEvictionAPI": _GONE,
    "PreemptionByScheduler": "Something of a higher priority took the place; give the pods a priorityClassName.",
    # What a head's sidecar says of the engine
    "EngineStalled": "The engine holds requests and gets on with none; " + _ENGINE,
    "EngineFailing": "The engine says that it is unwell; " + _ENGINE,
    "EngineUnreachable": "The engine does not answer; " + _ENGINE,
    "GenerationFailed": "The engine is up and makes no token; " + _ENGINE,
    "CanaryMissed": "The engine is up, idle, and makes no token: a rank may be frozen; " + _ENGINE,
    "EngineDraining": "Somebody asked its sidecar to drain (POST /drain); DELETE /drain takes that back.",
    "EngineAsleep": "Somebody asked its sidecar to let it sleep (POST /sleep); POST /wake wakes it.",
    "RayNodesMissing": "Ray lacks a node that the engine needs; look at the workers: `rayfleet get pods`.",
    # Ray clusters
    "Suspended": "A queue (Kueue) lets it in; `kubectl get workloads` shows the queue.",
    "RayClusterFailure": "KubeRay says what it could not do; " + _RETRIED,
    "KubeRayTooOld": "Upgrade KubeRay's operator, and its definitions too, which Helm leaves as they are.",
    "FailedCreate": _RETRIED,
    "FailedUpdate": _RETRIED,
    "FailedDelete": _RETRIED,
    "FailedCreateHeadPod": _RETRIED,
    "FailedCreateWorkerPod": _RETRIED,
    # Fleets
    "InvalidSpec": "Mend the named fields and apply the manifest; nothing is changed until then.",
    "ProgressDeadlineExceeded": "Mend what blocks and apply, or `rayfleet rollout undo rcf/{fleet}` to go back.",
    "ReplicaSetCreateError": _RETRIED,
    "WarmUpBlocked": "What serves goes on. Mend the image's name or its pull secret in the manifest and apply it; "
    "`rayfleet rollout undo rcf/{fleet}` takes the rollout back.",
    "WriteRefused": _RETRIED,
    "DeploymentPaused": "`rayfleet rollout resume rcf/{fleet}` lets it go on.",
    "ModelNameConflict": "Serve it under another servedModelName, or retire the fleet that has the name.",
    "NotOwned": "Delete or rename the object that is in the way.",
    "RolledBack": "The template that failed is kept: `rayfleet rollout history rcf/{fleet}`; mend it and apply.",
}
_OF_PHASE: Mapping[ReplicaPhase, str] = {
    ReplicaPhase.FAILED: "It is kept so that it can be looked at; when that is done, "
    f"`kubectl annotate rcf/{{fleet}} {RESUME_ANNOTATION}=again --overwrite` gives it another try.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """What is in the way: of what, why, in whose words, and what to do."""

    subject: str
    reason: str
    message: str
    advice: str

    def __str__(self) -> str:
        words = f"{self.reason}: {self.message}" if self.reason and self.message else self.reason or self.message
        return f"{self.subject}: {words}"


def blockers(fleet: ObjectKey, status: FleetStatus) -> tuple[Blocker, ...]:
    """Return what blocks the fleet, what concerns all of it first, then replica by replica; empty when nothing does."""
    return (*_of_conditions(fleet, status.conditions), *_of_replicas(fleet, status.replica_states))


def is_blocked(state: ReplicaState) -> bool:
    """Whether a replica needs a look: it broke, or waits for more than every start does, or for a queue."""
    return in_trouble(state) or state.reason == Calm.SUSPENDED


def _of_conditions(fleet: ObjectKey, conditions: tuple[Condition, ...]) -> Iterator[Blocker]:
    for condition in conditions:
        if _TROUBLE.get(condition.type) is condition.status or condition.reason == WARM_UP_BLOCKED:
            yield Blocker(
                subject=f"fleet {fleet.name}",
                reason=condition.reason,
                message=condition.message,
                advice=_advice((ADVICE.get(condition.type), ADVICE.get(condition.reason)), fleet),
            )


def _of_replicas(fleet: ObjectKey, states: tuple[ReplicaState, ...]) -> Iterator[Blocker]:
    for state in filter(is_blocked, states):
        container = f", container {state.container}" if state.container else ""
        yield Blocker(
            subject=f"pod {state.pod}{container}" if state.pod else f"replica {state.name}",
            reason=state.reason or state.phase,
            message=state.message,
            advice=_advice((_OF_PHASE.get(state.phase), ADVICE.get(state.reason)), fleet, state),
        )


def _advice(candidates: Sequence[str | None], fleet: ObjectKey, state: ReplicaState | None = None) -> str:
    """Return the first that is there and whose places are known, else the nearest place to look."""
    places = {"fleet": fleet.name, "pod": state.pod if state else "", "container": state.container if state else ""}
    nearest = f"rcf/{fleet.name}" if state is None else f"pod/{state.pod}" if state.pod else f"raycluster/{state.name}"
    known = [text for text in candidates if text and all(places[name] for name in _PLACE.findall(text))]
    chosen = known[0] if known else f"`rayfleet describe {nearest}` tells more."
    return _placed(chosen.format(**places), fleet)


def _placed(advice: str, fleet: ObjectKey) -> str:
    """Return the advice with the namespace in its commands, so that they work as they stand."""
    if fleet.namespace == "default":
        return advice
    return _COMMAND.sub(rf"`\1 -n {fleet.namespace}`", advice)
