"""Carries out actions: the only place of the controllers that writes.

Every write is safe to repeat. A create of what we already have is success; a delete names the UID and NotFound is
success; an update names the UID and the version it was decided on, and a mismatch is a Conflict: look again, no error.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import assert_never

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import AlreadyExists, ApiError, Conflict, Forbidden, Invalid, NotFound
from rayfleet.kube.lease import LeadershipLost
from rayfleet.kube.requests import PatchForm, Propagation
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import ResourceType
from rayfleet.objects.meta import key_of
from rayfleet.objects.owners import controller_uid
from rayfleet.planning.observed import Write, WriteFailure
from rayfleet.planning.plan import (
    Action,
    CreateHTTPRoute,
    CreateRayClusters,
    CreateReplicaSet,
    CreateService,
    DeleteHTTPRoute,
    DeleteRayCluster,
    DeleteReplicaSet,
    DeleteService,
    ObjectRef,
    ScaleReplicaSet,
    UpdateFleet,
    UpdateHTTPRoute,
    UpdateReplicaSet,
    UpdateService,
    UpdateStatus,
)
from rayfleet.reconciling.own_writes import AskedDeletion, OwnWrites, Written, wrote

Note = Callable[[Written], None]


class WriteRefused(ApiError):
    """A write was refused for good (quota, webhook, schema): it belongs into the object's status."""

    is_retryable = True  # quota may be raised, a webhook mended

    def __init__(self, failure: WriteFailure, cause: ApiError) -> None:
        super().__init__(failure.message, code=cause.code, reason=cause.reason, details=cause.details)
        self.failure = failure


class NameTaken(Conflict):
    """Somebody else's object has the name that a child would get."""


class Executor:
    """Writes for one controller; ``may_act`` is asked before every write (a lost lease stops it at once)."""

    def __init__(self, client: KubeClient, writes: OwnWrites, may_act: Callable[[], bool] = lambda: True) -> None:
        self._client = client
        self._writes = writes
        self._may_act = may_act

    def is_current(self, key: ObjectKey) -> bool:
        """Whether the stores show all that passes for ``key`` wrote."""
        return self._writes.are_seen(key)

    async def carry_out(self, key: ObjectKey, actions: Sequence[Action]) -> None:
        """Carry out the actions of one pass for ``key``, in order, until one fails.

        Raises WriteRefused for what trying again will hardly mend, Conflict when the view was stale, ApiError,
        LeadershipLost.
        """
        for action in actions:
            if not self._may_act():
                raise LeadershipLost("the lease is not surely ours any more; nothing is written")
            try:
                await apply(action, self._client, lambda written: self._writes.note(key, written))
            except (Forbidden, Invalid) as error:
                raise _refusal(action, error) from error
            except NotFound as error:
                raise Conflict(f"gone meanwhile: {error.message}", code=404, reason=error.reason) from error


async def apply(action: Action, client: KubeClient, note: Note) -> None:
    """Do one write.

    ``note`` hears what the stores must show before the next look, also of a batch that fails half-way.
    """
    match action:
        case CreateReplicaSet() | CreateService() | CreateHTTPRoute():
            await _create(client, action.resource, action.manifest, note)
        case CreateRayClusters():
            await _create_all(client, action, note)
        case ScaleReplicaSet():
            await _merge(client, action.resource, action.ref, action.patch(), note)
        case UpdateReplicaSet() | UpdateFleet() | UpdateService() | UpdateHTTPRoute():
            await _merge(client, action.resource, action.ref, action.patch, note)
        case DeleteRayCluster():
            await _delete(client, action.resource, action.ref, Propagation.FOREGROUND, note)
        case DeleteReplicaSet() | DeleteService() | DeleteHTTPRoute():
            await _delete(client, action.resource, action.ref, Propagation.BACKGROUND, note)
        case UpdateStatus():
            await _replace_status(client, action, note)
        case _:
            assert_never(action)


async def _create(client: KubeClient, resource: ResourceType, manifest: ReadOnlyJson, note: Note) -> None:
    """Create.

    What is there already is success when its controller is the same (the reply was lost, the view was old).
    """
    try:
        stored = await client.create(resource, manifest)
    except AlreadyExists as error:
        key = key_of(manifest)
        stored = await client.get(resource, key.name, key.namespace)
        note(wrote(resource, stored))
        if controller_uid(stored) != controller_uid(manifest) or "deletionTimestamp" in stored["metadata"]:
            raise NameTaken(f"{resource.kind} {key} is another's", code=409, reason="AlreadyExists") from error
    else:
        note(wrote(resource, stored))


async def _create_all(client: KubeClient, action: CreateRayClusters, note: Note) -> None:
    """Create a batch at once; the first failure is raised when all are answered, so that no create is cut half-way."""
    creating = (_create(client, action.resource, manifest, note) for manifest in action.manifests)
    for answer in await asyncio.gather(*creating, return_exceptions=True):
        if isinstance(answer, BaseException):
            raise answer


async def _merge(client: KubeClient, resource: ResourceType, ref: ObjectRef, patch: ReadOnlyJson, note: Note) -> None:
    """Merge, under the preconditions of ``ref``."""
    meta = {"uid": ref.uid} | ({"resourceVersion": ref.resource_version} if ref.resource_version else {})
    guarded = {**patch, "metadata": {**patch.get("metadata", {}), **meta}}
    try:
        stored = await client.patch(resource, ref.key, guarded)
    except Invalid as error:
        raise _stale(error, field="metadata.uid") from error
    note(wrote(resource, stored))


async def _delete(
    client: KubeClient, resource: ResourceType, ref: ObjectRef, propagation: Propagation, note: Note
) -> None:
    """Delete exactly the object that was seen; that it is gone, or another's now, is success."""
    try:
        await client.delete(resource, ref.key, uid=ref.uid, propagation=propagation)
    except NotFound:
        pass
    except Conflict:
        if await _is_still_there(client, resource, ref):
            raise  # not our precondition: a webhook, or a storm; noting a deletion would wait for it for ever
    note(AskedDeletion(resource=resource, key=ref.key, uid=ref.uid))


async def _is_still_there(client: KubeClient, resource: ResourceType, ref: ObjectRef) -> bool:
    """Whether the very object is there and nobody has asked for its deletion."""
    try:
        found = await client.get(resource, ref.key.name, ref.key.namespace)
    except NotFound:
        return False
    return found["metadata"].get("uid") == ref.uid and "deletionTimestamp" not in found["metadata"]


async def _replace_status(client: KubeClient, action: UpdateStatus, note: Note) -> None:
    """Replace the whole status of exactly the object that was seen."""
    patch: list[Json] = [
        {"op": "test", "path": "/metadata/uid", "value": action.ref.uid},
        {"op": "add", "path": "/status", "value": action.status},
    ]
    key = action.ref.key
    try:
        stored = await client.patch(action.resource, key, patch, form=PatchForm.JSON, subresource="status")
    except Invalid as error:
        raise _stale(error) from error
    note(wrote(action.resource, stored))


def _stale(error: Invalid, field: str = "") -> ApiError:
    """Return a Conflict when a precondition in a patch failed, else the error. Pure.

    The API server answers 422 both to a failed JSON patch ``test`` (without causes) and to a UID that would change
    (with one).
    """
    causes = error.details.get("causes") or ()
    is_stale = any(cause.get("field") == field for cause in causes) if field else not causes
    return Conflict(error.message, code=error.code, reason=error.reason) if is_stale else error


def _refusal(action: Action, error: ApiError) -> ApiError:
    """Return what a refused write means. Pure. A namespace on its way out is no failure to tell: look again later."""
    causes = error.details.get("causes") or ()
    if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        return Conflict(error.message, code=error.code, reason=error.reason)
    match action:
        case CreateReplicaSet() | CreateService() | CreateHTTPRoute() | CreateRayClusters():
            write = Write.CREATE
        case DeleteReplicaSet() | DeleteService() | DeleteHTTPRoute() | DeleteRayCluster():
            write = Write.DELETE
        case _:
            write = Write.UPDATE
    return WriteRefused(WriteFailure(write=write, message=error.message), error)
