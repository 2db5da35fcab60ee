"""Which changes of a status wait for others, and which do not."""

from typing import Any

import pytest

from rayfleet.manifest.crds import fleet_crds
from rayfleet.planning.urgency import is_decided_on, is_urgent

AT = "2026-01-01T00:00:00Z"


def condition(kind: str, status: str = "True", reason: str = "Because", message: str = "", at: str = AT) -> Any:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": at}


def state(name: str, **more: str) -> Any:
    return {"name": name, "uid": f"uid-{name}", "phase": "Pulling", "since": AT} | more


STUCK = state("stuck", reason="ErrImagePull", message="no/such:1")
# What the API server gives a fleet that nobody has looked at.
NEW = fleet_crds()[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["default"]
BEFORE = {
    "observedGeneration": 1,
    "replicas": 3,
    "collisionCount": 1,
    "conditions": [condition("Available"), condition("Progressing")],
    "replicaStates": [state("a"), STUCK],
}


@pytest.mark.parametrize(
    "change",
    [
        {"replicas": 4, "ready": "4/5", "phase": "Progressing", "observedGeneration": 7, "revision": 2},
        {"readySince": {"uid": AT}, "replicaStates": [state("a", phase="Ready")]},
        {"replicaStates": [state("a", phase="RayForming", progress="1/2"), STUCK | {"message": "no/such:2"}]},
        {"conditions": [condition("Progressing", message="other"), condition("Available", at="2026-02-02T00:00:00Z")]},
        {"conditions": [condition("Available"), condition("Progressing", reason="ReplicaSetUpdated")]},
    ],
)
def test_counts_words_and_times_wait(change: Any) -> None:
    assert not is_urgent(BEFORE, BEFORE | change)


@pytest.mark.parametrize(
    "change",
    [
        {"conditions": [condition("Available", "False"), condition("Progressing")]},
        {"conditions": [condition("Available")]},
        {"conditions": [*BEFORE["conditions"], condition("ReplicaFailure")]},  # type: ignore[misc]  # a list
        {"conditions": [condition("Available"), condition("Progressing", reason="NewReplicaSetAvailable")]},
        {"conditions": [condition("Available"), condition("Progressing", reason="WarmingUp")]},
        {"replicaStates": [state("a", phase="Broken"), STUCK]},
        {"replicaStates": [state("a", reason="ErrImagePull"), STUCK]},
        {"collisionCount": 2},
        {"rebuilds": [{"index": 0}]},
        {"incarnations": 3},
        {"aFieldOfTomorrow": 1},
    ],
)
def test_what_others_act_on_does_not_wait(change: Any) -> None:
    assert is_urgent(BEFORE, BEFORE | change)


LIFE, NEXT_LIFE = {"incarnation": "h.0/w.0"}, {"incarnation": "h.0/w.1"}
BROKEN = state("a", phase="Broken", reason="WorkerLost", **LIFE)
READY = state("a", phase="Ready", **LIFE)
DRAINING = READY | {"phase": "Draining", "reason": "Draining"}


@pytest.mark.parametrize(
    ("earlier", "now"),
    [
        (BROKEN, READY),
        (BROKEN, DRAINING),
        (BROKEN | {"reason": "NotReady"}, READY | NEXT_LIFE),
        (BROKEN | {"phase": "Failed"}, READY),
        # It broke before it was noted as ready.
        (state("a", phase="Broken", reason="NotReady"), READY),
        # Its head never turned unready, or was ready again before anybody noted that it was not.
        (READY | {"reason": "WorkerLost"}, READY | NEXT_LIFE),
        (READY | {"reason": "WorkerLost"}, READY),
        (READY, READY | NEXT_LIFE),
        # A surge that got room is not withdrawn.
        (state("a", phase="Scheduling", reason="Unschedulable"), state("a")),
        # One that is resumed is no longer one that was ready, and while one is suspended nothing is late.
        (READY, state("a", phase="Pending", reason="Suspended")),
        (state("a", phase="EngineLoading"), state("a", phase="Pending", reason="Suspended")),
        # What a fleet may take away goes by who serves.
        (READY, DRAINING),
        (DRAINING, READY),
    ],
)
def test_what_is_decided_on_a_replica_does_not_wait(earlier: Any, now: Any) -> None:
    """Broken again before it was noted that it came back, one had what was left of a grace, by lives that were gone."""
    assert is_decided_on({"replicaStates": [earlier]}, {"replicaStates": [now]}, leaving=())


@pytest.mark.parametrize(
    ("earlier", "now"),
    [
        (state("a", phase="EngineLoading"), READY),
        (state("a", phase="EngineLoading", reason="EngineFailing"), state("a", phase="EngineLoading")),
        (state("a", phase="Pulling", reason="ErrImagePull"), state("a", phase="RayForming")),
        (BROKEN, BROKEN | {"phase": "Terminating", "reason": "Deleted"}),
        (READY, READY | {"phase": "Draining", "reason": "Draining", "uid": "going"}),
        (READY | {"uid": "going"}, DRAINING | {"uid": "going"}),
        (READY, READY | {"since": "2026-02-02T00:00:00Z"}),
        (READY | {"reason": "WorkerLost"}, READY | {"reason": "WorkerLost", "message": "in other words"}),
        (state("b"), state("a", phase="Pending", reason="Suspended")),
    ],
)
def test_what_nothing_is_decided_on_waits(earlier: Any, now: Any) -> None:
    before, after = BEFORE | {"replicaStates": [earlier]}, BEFORE | {"replicaStates": [now]}
    assert not is_urgent(before, after)
    assert not is_decided_on(before, after, leaving={"going"})


@pytest.mark.parametrize("before", [{}, {"observedGeneration": 0, "conditions": []}, NEW])
def test_a_first_status_waits_unless_it_tells_of_a_problem(before: Any) -> None:
    assert not is_urgent(
        before, {"observedGeneration": 1, "replicas": 0, "conditions": [condition("Available", "False")]}
    )
    assert is_urgent(before, {"conditions": [condition("Progressing", "False", "ReplicaSetCreateError")]})
    assert is_urgent(before, {"conditions": [condition("Invalid")]})
