"""What is counted of replicas, from one state of their replica set to the next (rayfleet.reconciling.telemetry)."""

from itertools import pairwise
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rayfleet.kube.errors import Conflict
from rayfleet.model.absence import no_such_kind
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import FLEETS, RAY_CLUSTERS
from rayfleet.planning.writes import CreateTogether, Delete, Event, ObjectRef
from rayfleet.reconciling.telemetry import Telemetry, absence_families

SINCE = "2026-11-25T12:00:00.000000Z"


def state(uid: str, phase: str, **facts: Any) -> dict[str, Any]:
    return {"name": uid, "uid": uid, "phase": phase, "since": SINCE, **facts}


def replica_set(*states: dict[str, Any], rebuilds: tuple[str, ...] = ()) -> dict[str, Any]:
    made = [{"index": n, "name": "a", "time": SINCE, "reason": reason} for n, reason in enumerate(rebuilds)]
    return {"status": {"replicaStates": list(states), "rebuilds": made}}


def counted(telemetry: Telemetry, name: str) -> dict[str, float]:
    """Return what was counted, without what has not happened."""
    return {labels: value for labels, value in told(telemetry, name).items() if value}


def told(telemetry: Telemetry, name: str) -> dict[str, float]:
    return {
        ",".join(text for _, text in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(telemetry.page().decode())
        for sample in family.samples
        if sample.name == name
    }


@pytest.mark.parametrize(
    ("before", "after", "breaks"),
    [
        (state("a", "Ready"), state("a", "Broken", reason="NodeLost"), {"NodeLost": 1}),
        (state("a", "Broken", reason="NodeLost"), state("a", "Broken", reason="NodeLost"), {}),
        (state("a", "RayForming"), state("a", "Broken", reason="FormingTimedOut"), {}),
        (state("a", "Ready"), state("b", "Broken", reason="NodeLost"), {}),
        (state("a", "Ready"), state("a", "Draining"), {}),
    ],
)
def test_a_ready_replica_that_breaks_is_counted_once_by_its_cause(
    before: dict[str, Any], after: dict[str, Any], breaks: dict[str, float]
) -> None:
    telemetry = Telemetry()
    telemetry.hear_replica_set(replica_set(before), replica_set(after))
    assert counted(telemetry, "rayfleet_controller_replica_breaks_total") == breaks


def test_what_a_replica_spent_on_its_way_is_observed_when_it_becomes_ready() -> None:
    telemetry = Telemetry()
    stages = {"image": 3.0, "weights": 40.5}
    ready = replica_set(state("a", "Ready", stages=stages), state("b", "Warming", stages=stages))
    telemetry.hear_replica_set(replica_set(state("a", "Warming"), state("b", "Warming")), ready)
    telemetry.hear_replica_set(ready, ready)
    assert counted(telemetry, "rayfleet_controller_replica_stage_seconds_sum") == stages
    assert counted(telemetry, "rayfleet_controller_replica_stage_seconds_count") == {"image": 1, "weights": 1}


def test_what_is_there_when_a_process_begins_is_not_counted_again() -> None:
    telemetry = Telemetry()
    telemetry.hear_replica_set(None, replica_set(state("a", "Ready", stages={"ray": 1.0}), rebuilds=("NodeLost",)))
    assert counted(telemetry, "rayfleet_controller_replica_stage_seconds_count") == {}
    assert counted(telemetry, "rayfleet_controller_replica_rebuilds_total") == {}


def test_each_rebuild_is_counted_by_its_cause() -> None:
    telemetry = Telemetry()
    telemetry.hear_replica_set(replica_set(rebuilds=("NodeLost",)), replica_set(rebuilds=("NodeLost", "OOMKilled")))
    assert counted(telemetry, "rayfleet_controller_replica_rebuilds_total") == {"OOMKilled": 1}


def test_a_rebuild_that_is_over_is_not_counted_again() -> None:
    telemetry = Telemetry()
    under_way, over = replica_set(rebuilds=("NodeLost",)), replica_set(rebuilds=("NodeLost",))
    under_way["status"]["rebuilds"][0]["open"] = True
    for before, after in pairwise((replica_set(), under_way, over)):
        telemetry.hear_replica_set(before, after)
    assert counted(telemetry, "rayfleet_controller_replica_rebuilds_total") == {"NodeLost": 1}


def test_a_write_is_counted_by_kind_verb_and_reason_and_a_refused_one_apart() -> None:
    telemetry = Telemetry()
    event = Event(reason="SuccessfulCreate", message="made")
    telemetry.wrote("rs", CreateTogether(resource=RAY_CLUSTERS, manifests=({}, {}), event=event), None)
    gone = Delete(resource=RAY_CLUSTERS, ref=ObjectRef(key=ObjectKey(namespace="n", name="a"), uid="1"))
    telemetry.wrote("rs", gone, Conflict("stale", code=409, reason="Conflict"))
    assert counted(telemetry, "rayfleet_controller_writes_total") == {"rs,RayCluster,SuccessfulCreate,create": 2}
    refused = counted(telemetry, "rayfleet_controller_refused_writes_total")
    assert refused == {"rs,RayCluster,Conflict,delete": 1}


def test_what_has_not_happened_is_told_as_none() -> None:
    telemetry = Telemetry()
    telemetry.passed("fleet", 0.1, "ok")
    telemetry.wrote("rs", CreateTogether(resource=RAY_CLUSTERS, manifests=({},)), None)
    passes = told(telemetry, "rayfleet_controller_reconciles_total")
    assert passes == {"fleet,ok": 1, "fleet,stale": 0, "fleet,failed": 0, "fleet,fault": 0}
    assert told(telemetry, "rayfleet_controller_refused_writes_total") == {"rs,RayCluster,Conflict,create": 0}
    assert {"NodeLost", "OOMKilled", "WorkerLost"} <= told(telemetry, "rayfleet_controller_replica_breaks_total").keys()
    assert {"NodeLost", "FormingTimedOut"} <= told(telemetry, "rayfleet_controller_replica_rebuilds_total").keys()
    stages = told(telemetry, "rayfleet_controller_replica_stage_seconds_count")
    assert stages == dict.fromkeys(("image", "scheduling", "ray", "weights", "warmUp"), 0)


def test_a_kind_that_cannot_be_read_is_told_by_its_reason_and_the_others_as_none() -> None:
    telemetry = Telemetry()
    telemetry.shows(lambda: absence_families([FLEETS, RAY_CLUSTERS], {RAY_CLUSTERS: no_such_kind(RAY_CLUSTERS)}))
    kinds = told(telemetry, "rayfleet_controller_absent_kinds")
    assert {kind for kind, value in kinds.items() if value} == {"RayCluster,NoSuchKind"}
    assert kinds.keys() == {
        f"{kind},{reason}" for kind in ("RayClusterFleet", "RayCluster") for reason in ("NoSuchKind", "Forbidden")
    }
