"""What somebody else wrote into labels, annotations and statuses stops no pass, and is never written on."""

from typing import Any

import orjson
import pytest

from rayfleet.manifest.checking import schema_errors
from rayfleet.manifest.fleet import decode_fleet
from rayfleet.manifest.schema import FLEET_STATUS, REPLICA_SET_STATUS
from rayfleet.model.errors import ManifestError
from rayfleet.model.json import Json
from rayfleet.model.resources import FLEETS, RAY_CLUSTERS, REPLICA_SETS, ResourceType
from rayfleet.objects.labels import (
    DELETION_COST_ANNOTATION,
    INCARNATION_ANNOTATION,
    INDEX_LABEL,
    MAX_REPLICAS_ANNOTATION,
    REVISION_ANNOTATION,
    ROLLBACK_ANNOTATION,
    ROLLED_BACK_ANNOTATION,
    SERVING_ANNOTATION,
)
from rayfleet.objects.parts import part
from rayfleet.planning.writes import Merge
from rayfleet.testing.planner_world import PlannerWorld
from rayfleet.testing.ray_pods import later
from rayfleet.testing.stored_objects import with_metadata

LABELS = {"app": "x"}
NUMBERS = ["", "abc", "-1", "²", "٣", "3000000000", "9" * 20, "9" * 63, "9" * 5000]
TIMES = ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00"]


def template(image: str) -> Json:
    group = {"template": {"spec": {"containers": [{"name": "ray", "image": image}]}}}
    return {"metadata": {"labels": LABELS}, "spec": {"headGroupSpec": group}}


def manifest(**spec: Any) -> Json:
    kind = {"apiVersion": "orchestration.aibrix.ai/v1alpha1", "kind": "RayClusterFleet"}
    wanted = {"selector": {"matchLabels": LABELS}, "template": template("a"), "replicas": 2, **spec}
    return {**kind, "metadata": {"name": "fleet"}, "spec": wanted}


def make_world(**spec: Any) -> PlannerWorld:
    world = PlannerWorld()
    world.apply_fleet(manifest(**spec))
    world.settle()
    return world


def mark(world: PlannerWorld, resource: ResourceType, what: str, name: str, value: str) -> None:
    """Write a label or an annotation (``what``) on the first object of a kind."""
    raw = next(iter(world.stored.of_kind(resource.kind).values()))
    world.stored.put(with_metadata(raw, {what: {**part(raw, "metadata", what), name: value}}))


def forge(world: PlannerWorld, resource: ResourceType, **fields: Any) -> None:
    """Write fields into the status of the first object of a kind."""
    raw = next(iter(world.stored.of_kind(resource.kind).values()))
    world.stored.put({**raw, "status": {**part(raw, "status"), **fields}})


def live_on(world: PlannerWorld, seconds: int = 600) -> None:
    """Let one Ray cluster break and passes go on; each status can be sent and fits its schema."""
    world.make_unready(world.names()[0])
    for _ in range(seconds // 30):
        world.all_passes()
        world.finish_deletions()
        world.now = later(world.now, 30)
        for resource, schema in ((FLEETS, FLEET_STATUS), (REPLICA_SETS, REPLICA_SET_STATUS)):
            for raw in world.stored.of_kind(resource.kind).values():
                orjson.dumps(raw)
                assert not schema_errors(part(raw, "status"), schema, "status")


@pytest.mark.parametrize("value", NUMBERS)
@pytest.mark.parametrize(
    ("resource", "what", "name"),
    [
        (FLEETS, "annotations", ROLLBACK_ANNOTATION),
        (REPLICA_SETS, "annotations", REVISION_ANNOTATION),
        (REPLICA_SETS, "annotations", MAX_REPLICAS_ANNOTATION),
        (RAY_CLUSTERS, "annotations", INCARNATION_ANNOTATION),
        (RAY_CLUSTERS, "annotations", DELETION_COST_ANNOTATION),
        (RAY_CLUSTERS, "labels", INDEX_LABEL),
    ],
)
def test_a_number_that_is_none_of_ours_stops_no_pass(resource: ResourceType, what: str, name: str, value: str) -> None:
    world = make_world()
    mark(world, resource, what, name, value)
    live_on(world)
    world.settle()
    assert len(world.names()) == 2


@pytest.mark.parametrize("number", [-5, 2**31 - 1])
def test_a_forged_number_of_incarnations_gives_way_to_one_that_counts(number: int) -> None:
    world = make_world()
    forge(world, REPLICA_SETS, incarnations=number)
    live_on(world)
    world.settle()
    (raw,) = world.replica_sets()
    assert 0 < raw["status"]["incarnations"] < 100


@pytest.mark.parametrize("index", [-5, 2**31 - 1])
def test_a_forged_place_is_not_filled(index: int) -> None:
    world = make_world(recovery={"graceSeconds": 1})
    time = "2026-01-02T03:04:05Z"
    forge(world, REPLICA_SETS, rebuilds=[{"index": index, "name": "z", "time": time, "open": True}])
    world.stored.remove(next(iter(world.stored.of_kind(RAY_CLUSTERS.kind).values())))
    world.settle()
    assert {each.meta.labels[INDEX_LABEL] for each in world.clusters()} == {"0", "1"}


@pytest.mark.parametrize("time", TIMES)
def test_a_time_that_nothing_can_be_added_to_is_none(time: str) -> None:
    world = make_world(minReadySeconds=5)
    states = [{**each, "since": time, "phase": "Broken"} for each in world.replica_sets()[0]["status"]["replicaStates"]]
    since = {each.meta.uid: time for each in world.clusters()}
    forge(
        world, REPLICA_SETS, readySince=since, replicaStates=states, rebuilds=[{"index": 0, "name": "z", "time": time}]
    )
    forge(world, FLEETS, conditions=[{**each, "lastUpdateTime": time} for each in world.fleet["status"]["conditions"]])
    live_on(world)
    world.settle()
    assert len(world.names()) == 2


@pytest.mark.parametrize("note", ["{nope", "[]", '{"engine": 3}', '{"engine": "vllm"}', "[" * 100_000])
def test_a_short_form_that_cannot_be_read_is_not_brought_back(note: str) -> None:
    world = make_world()
    world.change_spec({"template": template("b")})
    world.settle()
    mark(world, REPLICA_SETS, "annotations", SERVING_ANNOTATION, note)
    mark(world, FLEETS, "annotations", ROLLBACK_ANNOTATION, "1")
    (write,) = world.fleet_pass().actions
    assert isinstance(write, Merge)
    assert write.event is not None
    assert (write.event.reason, "spec.serving" in write.event.message) == ("DeploymentRollbackRevisionNotFound", True)
    assert world.fleet["spec"]["template"] == template("b")


@pytest.mark.parametrize("note", ["{nope", "[]", '{"left": "x", "message": "\\ud800"}', "[" * 100_000])
def test_a_forged_note_of_a_way_back_stops_no_pass(note: str) -> None:
    world = make_world(strategy={"rollbackOnFailure": True})
    mark(world, FLEETS, "annotations", ROLLED_BACK_ANNOTATION, note)
    live_on(world)


def test_a_percentage_that_no_number_holds_is_refused() -> None:
    with pytest.raises(ManifestError, match="neither a count nor a percentage"):
        decode_fleet(manifest(strategy={"rollingUpdate": {"maxSurge": "9" * 5000 + "%"}}))
