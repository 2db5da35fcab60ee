"""Carries out actions: the only place of a controller that writes.

Every write is safe to repeat. A create of what we already have is success; a delete names the UID and NotFound is
success; an update names the UID and the version it was decided on, and a mismatch is a Conflict: look again, no error.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import assert_never

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import AlreadyExists, ApiError, Conflict, Forbidden, Invalid, NotFound, ServerError
from rayfleet.kube.lease import LeadershipLost
from rayfleet.kube.requests import PatchForm
from rayfleet.model.absence import no_such_kind
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import NAMESPACES, ResourceType
from rayfleet.objects.meta import is_terminating, key_of, name_of, uid_of
from rayfleet.objects.owners import controller_uid
from rayfleet.planning.writes import (
    STATUS,
    Action,
    Create,
    CreateTogether,
    Delete,
    Event,
    Merge,
    ObjectRef,
    Replace,
    WriteFailure,
)
from rayfleet.reconciling.own_writes import AskedDeletion, OwnWrites, Written, wrote
from rayfleet.reconciling.rights import refusal_words

Note = Callable[[Written], None]
Tell = Callable[[Event, ObjectKey], None]
"""Hears the event of a write that went well, and the key of the object that was written."""
Count = Callable[[Action, ApiError | None], None]
"""Hears each action when it is over, and how it failed."""


_WEBHOOK_AWAY = "failed calling webhook"  # a 500; apiserver pkg/util/webhook/error.go (1.36)


class WriteRefused(ApiError):
    """A write was refused for good (quota, webhook, schema): it belongs into the object's status."""

    is_retryable = True  # quota may be raised, a webhook mended

    def __init__(self, failure: WriteFailure, cause: ApiError) -> None:
        super().__init__(failure.message, code=cause.code, reason=cause.reason, details=cause.details)
        self.failure = failure


class NameTaken(Conflict):
    """Somebody else's object has the name that a child would get."""


def tell_nobody(_event: Event, _key: ObjectKey) -> None:
    """Tell nobody."""


def count_nothing(_action: Action, _error: ApiError | None) -> None:
    """Count nothing."""


class Executor:
    """Writes for one controller; ``may_act`` is asked before every write (a lost lease stops it at once)."""

    def __init__(
        self,
        client: KubeClient,
        writes: OwnWrites,
        may_act: Callable[[], bool] = lambda: True,
        count: Count = count_nothing,
    ) -> None:
        self._client = client
        self._writes = writes
        self._may_act = may_act
        self._count = count

    def is_current(self, key: ObjectKey) -> bool:
        """Whether the stores show all that passes for ``key`` wrote."""
        return self._writes.are_seen(key)

    async def carry_out(
        self, key: ObjectKey, actions: Sequence[Action], tell: Tell = tell_nobody, *, is_ordered: bool = True
    ) -> None:
        """Carry out the actions of one pass for ``key``, in order.

        The first that fails ends it; when not ``is_ordered`` all others are tried before its error is raised.
        Raises WriteRefused for what trying again will hardly mend, Conflict when the view was stale, ApiError,
        LeadershipLost.
        """
        failure: ApiError | None = None
        for action in actions:
            if not self._may_act():
                raise LeadershipLost("the lease is not surely ours any more; nothing is written")
            try:
                await self._carry_out_one(key, action, tell)
            except ApiError as error:
                self._count(action, error)
                if is_ordered:
                    raise
                failure = failure or error
            else:
                self._count(action, None)
        if failure is not None:
            raise failure

    async def _carry_out_one(self, key: ObjectKey, action: Action, tell: Tell) -> None:
        try:
            await apply(action, self._client, lambda written: self._writes.note(key, written), tell)
        except (Forbidden, Invalid) as error:
            raise _refusal(action, error) from error
        except NotFound as error:
            raise _vanished(action, error) from error
        except ServerError as error:
            if _WEBHOOK_AWAY not in error.message:
                raise
            raise _refusal(action, error) from error


async def apply(action: Action, client: KubeClient, note: Note, tell: Tell = tell_nobody) -> None:
    """Do one write.

    ``note`` hears what the stores must show before the next look, also of a batch that fails half-way; ``tell`` hears
    the action's event once it went well.
    """
    match action:
        case Create():
            key = await _create(client, action.resource, action.manifest, note)
            _tell_of(action.event, key, tell)
        case CreateTogether():
            await _create_all(client, action, note, tell)
        case Merge():
            await _merge(client, action, note)
            _tell_of(action.event, action.ref.key, tell)
        case Delete():
            await _delete(client, action, note)
            _tell_of(action.event, action.ref.key, tell)
        case Replace():
            await _replace(client, action, note)
        case _:
            assert_never(action)


def _tell_of(event: Event | None, key: ObjectKey, tell: Tell) -> None:
    if event is not None:
        tell(event, key)


async def _create(client: KubeClient, resource: ResourceType, manifest: ReadOnlyJson, note: Note) -> ObjectKey:
    """Create and return the key.

    What is there already is success when its controller is the same (the reply was lost, the view was old).
    """
    try:
        stored = await client.create(resource, manifest)
    except AlreadyExists as error:
        if not name_of(manifest):
            raise Conflict(error.message, code=error.code, reason=error.reason) from error  # the server's own choice
        key = key_of(manifest)
        stored = await client.get(resource, key.name, key.namespace)
        note(wrote(resource, stored))
        if controller_uid(stored) != controller_uid(manifest) or is_terminating(stored):
            raise NameTaken(f"{resource.kind} {key} is another's", code=409, reason="AlreadyExists") from error
    else:
        note(wrote(resource, stored))
    return key_of(stored)


async def _create_all(client: KubeClient, action: CreateTogether, note: Note, tell: Tell) -> None:
    """Create a batch at once; the first failure is raised when all are answered, so that no create is cut half-way."""
    creating = (_create(client, action.resource, manifest, note) for manifest in action.manifests)
    answers = await asyncio.gather(*creating, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, ObjectKey):
            _tell_of(action.event, answer, tell)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer


async def _merge(client: KubeClient, action: Merge, note: Note) -> None:
    """Merge, under the preconditions of the reference."""
    ref = action.ref
    preconditions = {"uid": ref.uid} | ({"resourceVersion": ref.resource_version} if ref.resource_version else {})
    guarded = {**action.patch, "metadata": {**action.patch.get("metadata", {}), **preconditions}}
    try:
        stored = await client.patch(action.resource, ref.key, guarded)
    except Invalid as error:
        raise _stale(error, field="metadata.uid") from error
    note(wrote(action.resource, stored))


async def _delete(client: KubeClient, action: Delete, note: Note) -> None:
    """Delete exactly the object that was seen; that it is gone, or another's now, is success."""
    ref, version = action.ref, action.ref.resource_version
    try:
        await client.delete(
            action.resource, ref.key, uid=ref.uid, resource_version=version, propagation=action.propagation
        )
    except NotFound:
        pass
    except Conflict:
        if await _is_still_there(client, action.resource, ref):
            raise  # it changed, a webhook, or a storm; noting a deletion would wait for it for ever
    note(AskedDeletion(resource=action.resource, key=ref.key, uid=ref.uid))


async def _is_still_there(client: KubeClient, resource: ResourceType, ref: ObjectRef) -> bool:
    """Whether the very object is there and nobody has asked for its deletion."""
    try:
        stored = await client.get(resource, ref.key.name, ref.key.namespace)
    except NotFound:
        return False
    return uid_of(stored) == ref.uid and not is_terminating(stored)


async def _replace(client: KubeClient, action: Replace, note: Note) -> None:
    """Replace a part of exactly the object that was seen.

    A status as a JSON patch with tests, so that it needs no version; a real API server takes no patch of ``finalize``.
    """
    ref = action.ref
    if action.subresource != STATUS:
        stored = await client.replace(action.resource, action.content, subresource=action.subresource)
        note(wrote(action.resource, stored))
        return
    patch: list[Json] = [{"op": "test", "path": "/metadata/uid", "value": ref.uid}]
    if ref.resource_version:
        patch.append({"op": "test", "path": "/metadata/resourceVersion", "value": ref.resource_version})
    patch.append({"op": "add", "path": "/status", "value": action.content})
    try:
        stored = await client.patch(action.resource, ref.key, patch, form=PatchForm.JSON, subresource=STATUS)
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


def _vanished(action: Action, error: NotFound) -> ApiError:
    """Return what a NotFound means. Pure.

    To a create in a namespace that is there it means that there is no such kind; else something went: look again.
    """
    if isinstance(action, Create | CreateTogether) and error.about != NAMESPACES.plural:
        return WriteRefused(WriteFailure(action=action, message=no_such_kind(action.resource).message), error)
    return Conflict(f"gone meanwhile: {error.message}", code=404, reason=error.reason)


def _refusal(action: Action, error: ApiError) -> ApiError:
    """Return what a refused write means. Pure. A namespace on its way out is no failure to tell: look again later."""
    causes = error.details.get("causes") or ()
    if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        return Conflict(error.message, code=error.code, reason=error.reason)
    return WriteRefused(WriteFailure(action=action, message=refusal_words(action, error.message)), error)
