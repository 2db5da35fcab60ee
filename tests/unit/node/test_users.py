"""Whom a container runs as."""

from typing import Any

import pytest

from rayfleet.local.node.environments import CannotConfigure
from rayfleet.local.node.users import User, container_user

ROOT = User(uid=0, gid=0)
SOMEBODY = User(uid=1000, gid=1000, groups=(27, 1000))


def user_of(pod: dict[str, Any], container: dict[str, Any], own: User) -> User | None:
    raw = {"name": "c", "securityContext": container}
    return container_user({"spec": {"securityContext": pod, "containers": [raw]}}, raw, own)


@pytest.mark.parametrize(
    ("pod", "container", "user"),
    [
        ({}, {}, None),
        ({"runAsUser": 0}, {}, None),
        ({"runAsUser": 1000, "runAsNonRoot": True}, {}, User(uid=1000, gid=0)),
        ({"runAsUser": 1000}, {"runAsUser": 1001, "runAsGroup": 5}, User(uid=1001, gid=5)),
        ({"supplementalGroups": [7], "fsGroup": 9}, {"runAsUser": 1}, User(uid=1, gid=0, groups=(7, 9))),
        ({"runAsNonRoot": True}, {"runAsNonRoot": False}, None),
    ],
)
def test_root_becomes_whom_the_container_or_its_pod_names(
    pod: dict[str, Any], container: dict[str, Any], user: User | None
) -> None:
    assert user_of(pod, container, ROOT) == user


@pytest.mark.parametrize(
    ("pod", "own"), [({"runAsNonRoot": True}, ROOT), ({"runAsNonRoot": True, "runAsUser": 0}, SOMEBODY)]
)
def test_root_is_refused_to_who_wants_none(pod: dict[str, Any], own: User) -> None:
    with pytest.raises(CannotConfigure, match="container c: runAsNonRoot"):
        user_of(pod, {}, own)


@pytest.mark.parametrize("pod", [{}, {"runAsUser": 1000}, {"runAsNonRoot": True}, {"supplementalGroups": [27]}])
def test_a_user_stays_itself(pod: dict[str, Any]) -> None:
    assert user_of(pod, {}, SOMEBODY) is None


@pytest.mark.parametrize("pod", [{"runAsUser": 1001}, {"runAsGroup": 5}, {"fsGroup": 9}])
def test_a_user_cannot_become_another(pod: dict[str, Any]) -> None:
    with pytest.raises(CannotConfigure, match="this node runs as user 1000 and cannot become user"):
        user_of(pod, {}, SOMEBODY)
