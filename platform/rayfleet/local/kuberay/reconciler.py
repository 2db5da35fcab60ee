"""Carries out what the plan for a Ray cluster says.

Reads from stores that show its own last writes, so nothing is made twice.

Source: KubeRay raycluster_controller.go (1.6), rayClusterReconcile: Secret, Services, pods; the first failure ends the
writing, the status is told all the same. Looks again 2 s after a change or a failure, else after 300 s.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import ApiError, Conflict, NotFound
from rayfleet.kube.events import EventRecorder, EventType
from rayfleet.kube.reflector import Reflector
from rayfleet.local.kuberay.names import is_of_predecessor
from rayfleet.local.kuberay.plan import ObservedCluster, Plan, plan_ray_cluster, status_after
from rayfleet.local.kuberay.pods import PodOptions
from rayfleet.local.kuberay.services import (
    build_auth_secret,
    build_head_service,
    build_headless_service,
    build_serve_service,
    head_services,
)
from rayfleet.local.kuberay.status import Failure
from rayfleet.local.kuberay.steps import CreatePod, DeletePod, Stop
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import PODS, RAY_CLUSTERS, SECRETS, SERVICES, ResourceType
from rayfleet.objects.meta import key_of
from rayfleet.reconciling.own_writes import AskedDeletion, OwnWrites, wrote
from rayfleet.reconciling.runtime import Controller, Watch, owner_key

LOOK_AGAIN = timedelta(seconds=2)
UNCONDITIONALLY = timedelta(seconds=300)
_TOKEN_BYTES = 32


class RayClusterReconciler:
    """One Ray cluster a pass."""

    def __init__(
        self,
        client: KubeClient,
        reflectors: Mapping[ResourceType, Reflector],
        recorder: EventRecorder,
        options: PodOptions | None = None,
    ) -> None:
        self._client = client
        self._stores = {kind: reflectors[kind].store for kind in (RAY_CLUSTERS, PODS, SERVICES, SECRETS)}
        self._writes = OwnWrites(reflectors)
        self._recorder = recorder
        self._options = options or PodOptions()
        self._told: dict[ObjectKey, str] = {}

    def is_current(self, key: ObjectKey) -> bool:
        """Whether the stores show what earlier passes wrote (KubeRay's expectations, without their time-out)."""
        return self._writes.are_seen(key)

    async def reconcile(self, key: ObjectKey) -> timedelta | None:
        """Bring one Ray cluster a step nearer its spec; return when to look again."""
        cluster = self._stores[RAY_CLUSTERS].get(key)
        if cluster is None:
            self._told.pop(key, None)
            return None
        observed = self._observe(cluster)
        plan = plan_ray_cluster(observed)
        self._tell_once(cluster, plan)
        if plan.refusal is not None or not plan.is_ours:
            return None
        failure = await self._ensure_surroundings(key, cluster) or await self._take_steps(key, cluster, plan)
        services = self._head_services(cluster)
        status = status_after(replace(observed, services=services), failure, datetime.now(UTC))
        if status is not None:
            await self._write_status(key, cluster, status)
        return UNCONDITIONALLY if failure is None and status is None else LOOK_AGAIN

    def _observe(self, cluster: ReadOnlyJson) -> ObservedCluster:
        pods = sorted(self._stores[PODS].by_owner(cluster["metadata"]["uid"]), key=lambda pod: str(key_of(pod)))
        return ObservedCluster(cluster=cluster, pods=pods, options=self._options)

    def _head_services(self, cluster: ReadOnlyJson) -> Sequence[ReadOnlyJson]:
        return head_services(cluster, self._stores[SERVICES].list(cluster["metadata"]["namespace"]))

    def _tell_once(self, cluster: ReadOnlyJson, plan: Plan) -> None:
        """Record a refusal, or what is not imitated, once for each generation of the spec."""
        if plan.refusal is not None:
            reason, message = plan.refusal.reason, plan.refusal.message(cluster)
        elif plan.notice:
            reason, message = "NotImitated", plan.notice
        else:
            return
        meta = cluster["metadata"]
        said = f"{meta['uid']}/{meta.get('generation')}/{message}"
        if self._told.get(key_of(cluster)) != said:
            self._told[key_of(cluster)] = said
            self._recorder.record(cluster, reason=reason, message=message, type=EventType.WARNING)

    async def _ensure_surroundings(self, key: ObjectKey, cluster: ReadOnlyJson) -> Failure | None:
        """Create what is absent; nothing of it is ever changed. Return why that did not work.

        Raises Conflict while something of a deleted predecessor of the same name is still there: a head that took its
        token would not let in workers with ours. KubeRay does not look, and its pods then wait for a Secret that is
        gone or refuse each other.
        """
        head = None if self._head_services(cluster) else build_head_service(cluster)
        wanted = (
            (SECRETS, build_auth_secret(cluster, secrets.token_bytes(_TOKEN_BYTES))),
            (SERVICES, head),
            (SERVICES, build_headless_service(cluster)),
            (SERVICES, build_serve_service(cluster)),
        )
        for resource, manifest in wanted:
            found = None if manifest is None else self._stores[resource].get(key_of(manifest))
            if found is not None and is_of_predecessor(found, cluster):
                raise Conflict(f"{resource.kind} {key_of(found)} of a deleted Ray cluster is not gone yet")
            if manifest is None or found is not None:
                continue
            try:
                stored = await self._client.create(resource, manifest)
            except ApiError as error:
                if _is_passing(error):
                    raise
                self._warn(cluster, f"FailedToCreate{resource.kind}", f"Failed creating {key_of(manifest)}, {error}")
                return Failure(reason="", message=error.message)
            self._writes.note(key, wrote(resource, stored))
            if resource is SERVICES:  # KubeRay tells of no Secret
                self._say(cluster, "CreatedService", f"Created service {key_of(stored)}")
        return None

    async def _take_steps(self, key: ObjectKey, cluster: ReadOnlyJson, plan: Plan) -> Failure | None:
        """Take the steps in order; return what ended them early."""
        for step in plan.steps:
            if isinstance(step, Stop):
                return Failure(reason="", message=step.message) if step.is_failure else None
            try:
                await (self._create(key, cluster, step) if isinstance(step, CreatePod) else self._delete(key, step))
            except ApiError as error:
                if _is_passing(error):
                    raise
                reason = _failure_reason(step)
                self._warn(cluster, reason.replace("Failed", "FailedTo", 1), f"{key}: {error.message}")
                return Failure(reason=reason, message=f"{reason}\n{error.message}")
            if isinstance(step, DeletePod):
                self._say_deleted(cluster, step)
        return None

    async def _create(self, key: ObjectKey, cluster: ReadOnlyJson, step: CreatePod) -> None:
        stored = await self._client.create(PODS, step.manifest)
        self._writes.note(key, wrote(PODS, stored))
        self._say(cluster, f"Created{step.role}Pod", f"Created {step.role.lower()} Pod {key_of(stored)}")

    async def _delete(self, key: ObjectKey, step: DeletePod) -> None:
        pod_key, uid = key_of(step.pod), step.pod["metadata"]["uid"]
        try:
            await self._client.delete(PODS, pod_key, uid=uid)
        except (NotFound, Conflict):
            return  # gone, or a successor stands there
        self._writes.note(key, AskedDeletion(resource=PODS, key=pod_key, uid=uid))

    async def _write_status(self, key: ObjectKey, cluster: ReadOnlyJson, status: ReadOnlyJson) -> None:
        """Replace the status whole, so that what is left out goes.

        Raises Conflict when the cluster changed meanwhile.
        """
        try:
            stored = await self._client.replace(RAY_CLUSTERS, {**cluster, "status": status}, subresource="status")
        except NotFound:
            return
        self._writes.note(key, wrote(RAY_CLUSTERS, stored))

    def _say_deleted(self, cluster: ReadOnlyJson, step: DeletePod) -> None:
        if step.role == "All":
            message = f"Deleted Pods for RayCluster {key_of(cluster)} due to suspension"
            self._say(cluster, "DeletedPod", message)
            return
        phase = (step.pod.get("status") or {}).get("phase", "")
        message = f"Deleted {step.role.lower()} Pod {key_of(step.pod)}; Pod status: {phase}"
        self._say(cluster, f"Deleted{step.role}Pod", message)

    def _say(self, cluster: ReadOnlyJson, reason: str, message: str) -> None:
        self._recorder.record(cluster, reason=reason, message=message)

    def _warn(self, cluster: ReadOnlyJson, reason: str, message: str) -> None:
        self._recorder.record(cluster, reason=reason, message=message, type=EventType.WARNING)


def ray_cluster_controller(
    client: KubeClient,
    reflectors: Mapping[ResourceType, Reflector],
    recorder: EventRecorder,
    options: PodOptions | None = None,
) -> Controller:
    """Return the controller, subscribed to the reflectors and not yet running."""
    owned = owner_key("RayCluster")
    watches = [Watch(reflector=reflectors[resource], keys=owned) for resource in (PODS, SERVICES, SECRETS)]
    reconciler = RayClusterReconciler(client, reflectors, recorder, options)
    return Controller("kuberay-stand-in", reflectors[RAY_CLUSTERS], reconciler, watches)


def _is_passing(error: ApiError) -> bool:
    """Whether the same call may go well soon, so that it is no fact about the cluster."""
    return error.is_retryable


def _failure_reason(step: CreatePod | DeletePod) -> str:
    """Return ReplicaFailure's reason."""
    if isinstance(step, CreatePod):
        return f"FailedCreate{step.role}Pod"
    return "FailedDeleteAllPods" if step.role == "All" else f"FailedDelete{step.role}Pod"
