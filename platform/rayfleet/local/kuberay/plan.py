"""What to do for a Ray cluster now, whole: Secret, Services, pods, status, Events. Pure.

Source: KubeRay ray-operator/controllers/ray/raycluster_controller.go (1.6): rayClusterReconcile, reconcilePods,
shouldDeletePod. Secret and Services come first and are never changed; the first failure ends the writing, the status is
told all the same. Its flaws are kept (terminating pods count, head and workers are never restarted together), because
what is built on it has to live with them. One is not: KubeRay makes pods beside the Secret of a deleted predecessor of
the same name, which then wait for a Secret that is gone or refuse each other; here they wait until it is gone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile

from rayfleet.local.kuberay.groups import group_steps
from rayfleet.local.kuberay.names import is_of_predecessor
from rayfleet.local.kuberay.pods import PodOptions, build_head_pod
from rayfleet.local.kuberay.refusals import not_imitated, refusal
from rayfleet.local.kuberay.services import (
    build_auth_secret,
    build_head_service,
    build_headless_service,
    build_serve_service,
    head_services,
)
from rayfleet.local.kuberay.status import Failure, Seen, next_status
from rayfleet.local.kuberay.steps import Step, Stop, created_pod, deleted_pod, is_spent, suspended_pod
from rayfleet.local.kuberay.suspension import Suspension, suspension_of
from rayfleet.model.events import EventType
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import PODS, RAY_CLUSTERS, SECRETS, SERVICES, ResourceType
from rayfleet.objects.conditions import is_true
from rayfleet.objects.labels import GROUP_LABEL, KEEP_HEADLESS_ANNOTATION
from rayfleet.objects.meta import annotation, is_terminating, key_of, label, name_of
from rayfleet.objects.pods import is_head, is_worker, phase_of
from rayfleet.objects.ray_spec import is_suspended, worker_groups
from rayfleet.planning.plan import StatelessPlan
from rayfleet.planning.writes import (
    KEY_MARK,
    Action,
    Create,
    Delete,
    Event,
    Verb,
    WriteFailure,
    permissions,
    ref_of,
    status_permission,
    status_replaced,
)

MANAGERS = ("", "ray.io/kuberay-operator")
LOOK_AGAIN = timedelta(seconds=2)
UNCONDITIONALLY = timedelta(seconds=300)
WRITES = (
    permissions(PODS, Verb.CREATE, Verb.DELETE)
    | permissions(SERVICES, Verb.CREATE)
    | permissions(SECRETS, Verb.CREATE)
    | {status_permission(RAY_CLUSTERS)}
)
"""All that a plan for a Ray cluster may write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedCluster:
    """A RayCluster, the pods that it owns, and the Services and Secrets of its namespace that could be its.

    ``token`` is what a new Secret would hold: random, drawn anew for each pass. ``failure`` is a write of this pass
    that was refused.
    """

    cluster: ReadOnlyJson
    pods: Sequence[ReadOnlyJson]
    services: Sequence[ReadOnlyJson] = ()
    secrets: Sequence[ReadOnlyJson] = ()
    token: bytes = bytes(32)
    options: PodOptions = field(default_factory=PodOptions)
    failure: WriteFailure | None = None


def plan_ray_cluster(observed: ObservedCluster, now: datetime) -> StatelessPlan:
    """Return what to do now. A cluster that is being deleted, or is somebody else's, is left alone."""
    cluster = observed.cluster
    if (cluster["spec"].get("managedBy") or "") not in MANAGERS:
        return StatelessPlan(status=None)
    refused = refusal(cluster)
    if refused is not None:
        return StatelessPlan(status=None, events=(_said_once(refused.reason, refused.message(cluster)),))
    if is_terminating(cluster):
        return StatelessPlan(status=None)
    if _waits_for_predecessor(observed):
        return StatelessPlan(status=None, requeue_after=LOOK_AGAIN)
    return _plan(observed, now)


def _plan(observed: ObservedCluster, now: datetime) -> StatelessPlan:
    steps = steps_of(observed) if observed.failure is None else []
    actions = [step for step in takewhile(lambda step: not isinstance(step, Stop), steps) if not isinstance(step, Stop)]
    failure = _failure(observed, steps)
    cluster = observed.cluster
    seen = Seen(
        cluster=cluster, pods=observed.pods, services=head_services(cluster, observed.services), failure=failure
    )
    status = next_status(seen, now)
    if status is not None:
        actions.append(status_replaced(RAY_CLUSTERS, ref_of(cluster, at_this_version=True), status))
    notice = not_imitated(cluster["spec"])
    return StatelessPlan(
        actions=(*(() if observed.failure else _surroundings(observed)), *actions),
        status=None,
        events=(*_failure_events(observed), *((_said_once("NotImitated", notice),) if notice else ())),
        requeue_after=UNCONDITIONALLY if failure is None and status is None else LOOK_AGAIN,
    )


def _said_once(reason: str, message: str) -> Event:
    return Event(type=EventType.WARNING, reason=reason, message=message, is_said_once=True)


def _waits_for_predecessor(observed: ObservedCluster) -> bool:
    """Whether something that we need the name of is still a deleted predecessor's."""
    there = _by_name(observed)
    for resource, manifest in _needed(observed):
        current = there.get((resource, name_of(manifest)))
        if current is not None and is_of_predecessor(current, observed.cluster):
            return True
    return False


def _surroundings(observed: ObservedCluster) -> Iterator[Action]:
    """Yield the creations of what the pods need and is not there; KubeRay tells of no Secret."""
    there = _by_name(observed)
    created = Event(reason="CreatedService", message=f"Created service {KEY_MARK}")
    for resource, manifest in _needed(observed):
        if (resource, name_of(manifest)) not in there:
            yield Create(resource=resource, manifest=manifest, event=created if resource is SERVICES else None)


def _needed(observed: ObservedCluster) -> Iterator[tuple[ResourceType, Json]]:
    cluster = observed.cluster
    has_head_service = bool(head_services(cluster, observed.services))
    built = (
        (SECRETS, build_auth_secret(cluster, observed.token)),
        (SERVICES, None if has_head_service else build_head_service(cluster)),
        (SERVICES, build_headless_service(cluster)),
        (SERVICES, build_serve_service(cluster)),
    )
    return ((resource, manifest) for resource, manifest in built if manifest is not None)


def _by_name(observed: ObservedCluster) -> dict[tuple[ResourceType, str], ReadOnlyJson]:
    services = {(SERVICES, name_of(service)): service for service in observed.services}
    return services | {(SECRETS, name_of(secret)): secret for secret in observed.secrets}


def _failure(observed: ObservedCluster, steps: Sequence[Step]) -> Failure | None:
    """Return what ends this pass early: a refused write, or a step that says so."""
    if observed.failure is not None:
        reason = _failure_reason(observed)
        message = observed.failure.message
        return Failure(reason=reason, message=f"{reason}\n{message}" if reason else message)
    stop = next((step for step in steps if isinstance(step, Stop)), None)
    return Failure(reason="", message=stop.message) if stop is not None and stop.is_failure else None


def _failure_reason(observed: ObservedCluster) -> str:
    """Return ReplicaFailure's reason; empty for what the condition does not tell of."""
    match observed.failure.action if observed.failure else None:
        case Create(resource=resource, manifest=manifest) if resource is PODS:
            return f"FailedCreate{'Head' if is_head(manifest) else 'Worker'}Pod"
        case Delete(ref=ref):
            if suspension_of(observed.cluster) is Suspension.GOING_ON:
                return "FailedDeleteAllPods"
            heads = [pod for pod in observed.pods if is_head(pod)]
            return f"FailedDelete{'Head' if any(key_of(pod) == ref.key for pod in heads) else 'Worker'}Pod"
        case _:
            return ""


def _failure_events(observed: ObservedCluster) -> Iterator[Event]:
    failure = observed.failure
    if failure is None:
        return
    reason = _failure_reason(observed)
    if reason:
        reason_told = reason.replace("Failed", "FailedTo", 1)
        message = f"{key_of(observed.cluster)}: {failure.message}"
        yield Event(type=EventType.WARNING, reason=reason_told, message=message)
    elif isinstance(failure.action, Create):
        reason_told = f"FailedToCreate{failure.action.resource.kind}"
        message = f"Failed creating {key_of(failure.action.manifest)}, {failure.message}"
        yield Event(type=EventType.WARNING, reason=reason_told, message=message)


def steps_of(observed: ObservedCluster) -> list[Step]:
    """Return what is done to pods, in order; a Stop ends the pass there."""
    cluster, pods = observed.cluster, observed.pods
    suspension = suspension_of(cluster)
    if suspension is Suspension.GOING_ON:
        return [suspended_pod(pod, cluster) for pod in pods if not is_terminating(pod)]
    if suspension is Suspension.DONE or is_suspended(cluster["spec"]):
        return []
    steps = _head_steps(observed, [pod for pod in pods if is_head(pod)])
    for group in worker_groups(cluster["spec"]):
        if any(isinstance(step, Stop) for step in steps):
            return steps
        mine = [pod for pod in pods if is_worker(pod) and label(pod, GROUP_LABEL) == group["groupName"]]
        steps += group_steps(cluster, group, mine, observed.options)
    return steps


def _head_steps(observed: ObservedCluster, heads: Sequence[ReadOnlyJson]) -> list[Step]:
    cluster = observed.cluster
    if len(heads) > 1:
        names = " ".join(name_of(pod) for pod in heads)
        return [Stop(message=f"{len(heads)} head pods found [{names}]. Please delete extra head pods")]
    if not heads:
        if _keeps_headless(cluster):
            return [Stop(message="", is_failure=False)]
        return [created_pod(build_head_pod(cluster, observed.options), "Head")]
    head = heads[0]
    if not is_spent(head):
        return []
    stop = Stop(message=f"the head Pod {name_of(head)} is {phase_of(head)} and ended; it is deleted, a new one follows")
    return [stop] if is_terminating(head) else [deleted_pod(head, "Head"), stop]


def _keeps_headless(cluster: ReadOnlyJson) -> bool:
    """Whether a cluster that was up once is to stay without a head."""
    return is_true(cluster, "RayClusterProvisioned") and annotation(cluster, KEEP_HEADLESS_ANNOTATION) == "true"
