"""What KubeRay is too old for is said of replicas that come up, and of no others (planning.replica.kuberays_age)."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rayfleet.model.meta import ObjectMeta
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.model.replica import ReplicaPhase, ReplicaState
from rayfleet.planning.replica.kuberays_age import with_kuberays_age

ASKED = {"authOptions": {"mode": "token"}}
NOW = datetime(2026, 11, 25, tzinfo=UTC)


def told(asked: Any, phase: ReplicaPhase = ReplicaPhase.RAY_FORMING, reason: str = "", **facts: Any) -> tuple[str, str]:
    cluster = RayCluster(meta=ObjectMeta(name="c", uid="u"), **facts)
    state = ReplicaState(name="c", uid="u", phase=phase, reason=reason, since=NOW, pod="head")
    told_of = with_kuberays_age(state, cluster, asked)
    return told_of.reason, told_of.message


def test_a_token_that_was_asked_for_and_not_kept_is_said() -> None:
    reason, message = told(ASKED)
    assert reason == "KubeRayTooOld"
    assert "spec.authOptions" in message
    assert "1.5.1" in message


def test_conditions_that_are_not_told_are_said() -> None:
    reason, message = told({}, lacks_conditions=True)
    assert reason == "KubeRayTooOld"
    assert "HeadPodReady" in message


@pytest.mark.parametrize(
    ("asked", "facts"),
    [
        (ASKED, {"has_auth_options": True}),
        ({}, {}),
        ({"authOptions": {"mode": "disabled"}}, {}),
        (ASKED, {"phase": ReplicaPhase.READY}),
        (ASKED, {"phase": ReplicaPhase.TERMINATING}),
        (ASKED, {"phase": ReplicaPhase.PENDING, "reason": "Suspended"}),
    ],
)
def test_nothing_is_said_where_nothing_is_lacking(asked: Any, facts: Any) -> None:
    assert told(asked, **facts) == (facts.get("reason", ""), "")
