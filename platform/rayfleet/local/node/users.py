"""Who a container runs as: what its security context, or else its pod's, says, and whether this node can do that. Pure.

As the kubelet (v1.36): the container's word comes first; ``runAsNonRoot`` without a user means the image's, which is
the node's own here. Only root can become somebody else.
"""

from dataclasses import dataclass

from rayfleet.local.node.environments import CannotConfigure
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.security import run_as


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Numbers of a user, its group and the further groups."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


def container_user(pod: ReadOnlyJson, container: ReadOnlyJson, own: User) -> User | None:
    """Return whom to become for a container; None to stay ``own``. Raises CannotConfigure."""
    stated = run_as(pod, container)
    name = stated.container
    uid = own.uid if stated.user is None else stated.user
    if stated.is_never_root and uid == 0:
        raise CannotConfigure(f"container {name}: runAsNonRoot is set, and it would run as root; name a runAsUser")
    group = 0 if own.uid == 0 else own.gid
    user = User(uid=uid, gid=group if stated.group is None else stated.group, groups=tuple(sorted(stated.further)))
    if (user.uid, user.gid) == (own.uid, own.gid) and not stated.further - {own.gid, *own.groups}:
        return None
    if own.uid != 0:
        raise CannotConfigure(
            f"container {name}: this node runs as user {own.uid} and cannot become user {user.uid}, group "
            f"{user.gid}, groups {sorted(stated.further)}: start the cluster as root, or leave the security context out"
        )
    return user
