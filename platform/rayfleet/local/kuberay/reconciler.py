"""Carries out what the plan for a Ray cluster says. Reads from stores that show its own last writes; every write is safe to repeat."""

import logging
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from rayfleet.controllers.own_writes import AskedDeletion, OwnWrites, wrote
from rayfleet.controllers.runtime import Controller, Watch, owner_key
from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import AlreadyExists, ApiError, Conflict, Forbidden, Invalid, NotFound
from rayfleet.kube.events import EventRecorder, EventType
from rayfleet.kube.reflector import Reflector
from rayfleet.local.kuberay.plan import Action, CreatePod, DeletePod, ObservedCluster, plan_ray_cluster
from rayfleet.local.kuberay.services import build_auth_secret, build_head_service
from rayfleet.model.meta import JsonObject, ObjectKey
from rayfleet.model.resources import PODS, RAY_CLUSTERS, SECRETS, SERVICES, ResourceType

log = logging.getLogger(__name__)

REQUEUE_AFTER_ERROR = timedelta(seconds=2)


class RayClusterReconciler:
    """One Ray cluster a pass: Secret, head Service, pods, status; the first error ends the writing, the status is still told."""

    def __init__(
        self, client: KubeClient, reflectors: Mapping[ResourceType, Reflector], recorder: EventRecorder
    ) -> None:
        self._client = client
        self._clusters = reflectors[RAY_CLUSTERS].store
        self._pods = reflectors[PODS].store
        self._services = reflectors[SERVICES].store
        self._secrets = reflectors[SECRETS].store
        self._writes = OwnWrites(reflectors)
        self._recorder = recorder

    def is_current(self, key: ObjectKey) -> bool:
        """Whether the stores show what earlier passes wrote (KubeRay's expectations, without their time-out)."""
        return self._writes.are_seen(key)

    async def reconcile(self, key: ObjectKey) -> timedelta | None:
        """Bring one Ray cluster a step nearer its spec."""
        cluster = self._clusters.get(key)
        if cluster is None:
            return None
        pods = sorted(self._pods.by_owner(cluster["metadata"]["uid"]), key=lambda pod: pod["metadata"]["name"])
        plan = plan_ray_cluster(ObservedCluster(cluster=cluster, pods=pods), datetime.now(UTC))
        if plan.problem:
            self._recorder.record(cluster, reason="InvalidRayClusterSpec", message=plan.problem, type=EventType.WARNING)
            return None
        if plan.status is None and not plan.actions and self._has_surroundings(cluster):
            return None
        failure = await self._written(key, cluster, plan.actions)
        if failure is not None:
            observed = ObservedCluster(cluster=cluster, pods=pods, failure=failure)
            plan = plan_ray_cluster(observed, datetime.now(UTC))
        if plan.status is not None:
            stored = await self._client.patch(RAY_CLUSTERS, key, {"status": plan.status}, subresource="status")
            self._writes.note(key, wrote(RAY_CLUSTERS, stored))
        return REQUEUE_AFTER_ERROR if failure is not None else None

    def _has_surroundings(self, cluster: JsonObject) -> bool:
        if "deletionTimestamp" in cluster["metadata"]:
            return True
        namespace = cluster["metadata"]["namespace"]
        secret = build_auth_secret(cluster, "")
        service = build_head_service(cluster)
        return self._services.get(ObjectKey(namespace=namespace, name=service["metadata"]["name"])) is not None and (
            secret is None
            or self._secrets.get(ObjectKey(namespace=namespace, name=secret["metadata"]["name"])) is not None
        )

    async def _written(
        self, key: ObjectKey, cluster: JsonObject, actions: tuple[Action, ...]
    ) -> tuple[str, str] | None:
        """Do the writes in order; return (reason, message) of the first that was refused."""
        if "deletionTimestamp" in cluster["metadata"]:
            return None
        secret = build_auth_secret(cluster, secrets.token_hex(32))
        for resource, manifest in ((SECRETS, secret), (SERVICES, build_head_service(cluster))):
            if manifest is not None:
                await self._ensure(key, resource, manifest)
        for action in actions:
            try:
                await self._apply(key, cluster, action)
            except (Forbidden, Invalid) as error:
                verb = "FailedCreate" if isinstance(action, CreatePod) else "FailedDelete"
                return f"{verb}{action.role}Pod", error.message
        return None

    async def _apply(self, key: ObjectKey, cluster: JsonObject, action: Action) -> None:
        match action:
            case CreatePod(manifest=manifest, role=role):
                stored = await self._client.create(PODS, manifest)
                self._writes.note(key, wrote(PODS, stored))
                name = stored["metadata"]["name"]
                self._recorder.record(
                    cluster, reason=f"Created{role}Pod", message=f"Created {role.lower()} pod {key.namespace}/{name}"
                )
            case DeletePod(name=name, uid=uid, role=role):
                pod_key = ObjectKey(namespace=key.namespace, name=name)
                try:
                    await self._client.delete(PODS, pod_key, uid=uid)
                except (NotFound, Conflict):
                    return
                self._writes.note(key, AskedDeletion(resource=PODS, key=pod_key, uid=uid))
                self._recorder.record(
                    cluster, reason=f"Deleted{role}Pod", message=f"Deleted {role.lower()} pod {key.namespace}/{name}"
                )

    async def _ensure(self, key: ObjectKey, resource: ResourceType, manifest: JsonObject) -> None:
        meta = manifest["metadata"]
        store = self._services if resource is SERVICES else self._secrets
        if store.get(ObjectKey(namespace=meta["namespace"], name=meta["name"])) is not None:
            return
        try:
            stored = await self._client.create(resource, manifest)
        except AlreadyExists:
            return
        except ApiError as error:
            log.warning("cannot create", extra={"resource": resource.plural, "reason": error.message})
            raise
        self._writes.note(key, wrote(resource, stored))


def ray_cluster_controller(
    client: KubeClient, reflectors: Mapping[ResourceType, Reflector], recorder: EventRecorder
) -> Controller:
    """Return the controller, subscribed to the reflectors and not yet running."""
    owned = owner_key("RayCluster")
    watches = [Watch(reflector=reflectors[resource], keys=owned) for resource in (PODS, SERVICES, SECRETS)]
    return Controller(
        "kuberay-stand-in", reflectors[RAY_CLUSTERS], RayClusterReconciler(client, reflectors, recorder), watches
    )
