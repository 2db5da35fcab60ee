"""An owner that takes children asks the server first whether it is still there: a store may be behind.

A child that is given to an owner that is gone would be collected as garbage, with all that it runs. So would one that
is made for it, again and again while the store is behind: children go when their owner goes, so an owner asks too whose
status tells of some and that has none any more. Source: Kubernetes, ``RecheckDeletionTimestamp``
(controller_ref_manager.go), kubernetes/kubernetes#42639.
"""

from typing import Any, Protocol, TypeVar

from rayfleet.kube.errors import Conflict, NotFound
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import ResourceType
from rayfleet.objects.meta import is_terminating, key_of, uid_of

Observed = TypeVar("Observed")


class Server(Protocol):
    """Who knows how an object stands now; a ``KubeClient`` is one."""

    async def get(self, resource: ResourceType, name: str, namespace: str | None = None) -> Json:
        """Return the object. Raises NotFound, ApiError."""


async def confirmed(observed: Observed, owner: ReadOnlyJson, resource: ResourceType, server: Server) -> Observed:
    """Return ``observed`` when the server has the very ``owner`` and nobody has asked for its deletion.

    Raises Conflict (look again) when not, ApiError.
    """
    key = key_of(owner)
    try:
        current: dict[str, Any] = await server.get(resource, key.name, key.namespace)
    except NotFound as error:
        raise Conflict(f"{resource.kind} {key} is gone meanwhile", code=404, reason="NotFound") from error
    if uid_of(current) != uid_of(owner) or is_terminating(current):
        raise Conflict(f"{resource.kind} {key} goes meanwhile", code=409, reason="Conflict")
    return observed
