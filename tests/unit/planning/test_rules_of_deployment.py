"""Rules of Deployment that no other test here names, by the upstream test that holds each.

Beside these: rounding (``test_bounds``: ``TestResolveFenceposts``, ``TestMaxUnavailable``), identity
(``test_identity``: ``TestEqualIgnoreHash``), ownership (``test_claims``), and the transcripts in ``tests/golden``:
proportional scaling, saturation (``TestScale``), rollover, Recreate (``TestScaleDownOldReplicaSets``), pause.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from rayfleet.manifest.fleet import decode_fleet
from rayfleet.model.errors import ManifestError
from rayfleet.model.fleet import ReplicaSet
from rayfleet.model.json import Json
from rayfleet.model.resources import FLEETS, REPLICA_SETS
from rayfleet.planning.fleet.plan import plan_fleet
from rayfleet.planning.writes import Create, Delete
from rayfleet.testing.planner_world import PlannerWorld

REVISION = "deployment.kubernetes.io/revision"


def template(image: str) -> Json:
    pod = {"template": {"spec": {"containers": [{"name": "ray", "image": image}]}}}
    return {"metadata": {"labels": {"app": "x"}}, "spec": {"headGroupSpec": pod}}


def fleet(annotations: Json | None = None, **spec: Any) -> Json:
    fields = {"selector": {"matchLabels": {"app": "x"}}, "template": template("a"), **spec}
    meta = {"name": "fleet", "annotations": annotations or {}}
    return {"apiVersion": FLEETS.api_version, "kind": FLEETS.kind, "metadata": meta, "spec": fields}


def world_of(*images: str, annotations: Json | None = None, **spec: Any) -> PlannerWorld:
    """Return a fleet that had these images, one after the other."""
    world = PlannerWorld()
    world.apply_fleet(fleet(annotations, **spec))
    for image in images:
        world.change_spec({"template": template(image)})
        world.settle()
    return world


def with_annotations(replica_set: ReplicaSet, **annotations: str) -> ReplicaSet:
    meta = replica_set.meta
    return replace(replica_set, meta=replace(meta, annotations={**meta.annotations, **annotations}))


def test_an_empty_selector_is_refused() -> None:
    """``TestDontSyncDeploymentsWithEmptyPodSelector``."""
    with pytest.raises(ManifestError, match="it would select every RayCluster"):
        decode_fleet(fleet(selector={}))


def test_annotations_are_copied_but_for_the_controllers_own() -> None:
    """``TestAnnotationUtils``."""
    own = {
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        REVISION: "7",
        "deployment.kubernetes.io/revision-history": "5,6",
        "deployment.kubernetes.io/desired-replicas": "9",
        "deployment.kubernetes.io/max-replicas": "9",
        "deprecated.deployment.rollback.to": "1",
    }
    world = world_of(annotations={"team": "blue", **own}, paused=True)
    world.change_spec({"paused": False})
    world.stored.put({**world.fleet, "metadata": {**world.fleet["metadata"], "annotations": {"team": "blue", **own}}})
    world.settle()
    [raw] = world.objects[REPLICA_SETS.kind].values()
    annotations = raw["metadata"]["annotations"]
    assert annotations["team"] == "blue"
    assert {name for name in own if annotations.get(name) == own[name]} == set()


def test_revisions_are_numbers_not_texts() -> None:
    """``TestAnnotationUtils``: after 9 comes 10, after 10 comes 11."""
    world = world_of("a", "b")
    observed = world.observe_fleet()
    first, second = observed.replica_sets
    old = with_annotations(first, **{REVISION: "10"})
    new = with_annotations(second, **{REVISION: "9"})
    plan = plan_fleet(replace(observed, replica_sets=(old, new)), world.now)
    raised = [action.patch["metadata"]["annotations"] for action in plan.actions if hasattr(action, "patch")]
    assert raised[0][REVISION] == "11"


def test_history_goes_by_revision_and_spares_what_is_going_or_not_yet_seen() -> None:
    """``TestDeploymentController_cleanupDeployment`` and ``...cleanupDeploymentOrder``."""
    world = world_of("a", "b", "c", "d", revisionHistoryLimit=10)
    observed = world.observe_fleet()
    first, second, third, new = observed.replica_sets
    fleet_now = replace(observed.fleet, spec=replace(observed.fleet.spec, revision_history_limit=1))
    youngest_number = with_annotations(first, **{REVISION: "3"})
    oldest_number = with_annotations(third, **{REVISION: "1"})

    def deleted(*sets: ReplicaSet) -> list[str]:
        plan = plan_fleet(replace(observed, fleet=fleet_now, replica_sets=(*sets, new)), world.now)
        return [action.ref.key.name for action in plan.actions if isinstance(action, Delete)]

    assert deleted(youngest_number, second, oldest_number) == [third.meta.name, second.meta.name]
    unseen = replace(second, meta=replace(second.meta, generation=second.meta.generation + 1))
    assert deleted(youngest_number, unseen, oldest_number) == [third.meta.name]
    going = replace(oldest_number, meta=replace(third.meta, deleted_at=datetime(2026, 1, 2, tzinfo=UTC)))
    assert deleted(youngest_number, second, going) == [second.meta.name]


def test_one_name_for_two_templates_is_a_collision() -> None:
    """``TestDeploymentHashCollision``: the name is there, of the same owner, with another template."""
    world = world_of("a")
    observed = world.observe_fleet()
    [replica_set] = observed.replica_sets
    other = replace(replica_set.spec, template=replace(replica_set.spec.template, spec={"headGroupSpec": {}}))
    hand_made = replace(replica_set, spec=other, meta=replace(replica_set.meta, annotations={}))
    plan = plan_fleet(replace(observed, replica_sets=(hand_made,)), world.now)
    [create] = [action for action in plan.actions if isinstance(action, Create)]
    assert create.manifest["metadata"]["name"] != replica_set.meta.name
    assert plan.status.collision_count == 1
    again = replace(observed.fleet, status=plan.status)
    repeated = plan_fleet(replace(observed, fleet=again, replica_sets=(hand_made,)), world.now)
    [create_again] = [action for action in repeated.actions if isinstance(action, Create)]
    assert create_again.manifest["metadata"]["name"] == create.manifest["metadata"]["name"]
    assert repeated.status.collision_count == 1, "it is counted once"


def test_a_replica_set_that_is_there_already_with_the_template_is_used() -> None:
    """``TestDeploymentHashCollision``: AlreadyExists of the same owner and an equal template is no collision."""
    world = world_of()
    [create] = [action for action in world.fleet_pass().actions if isinstance(action, Create)]
    world.stored.create(create.manifest)
    world.settle()
    assert len(world.objects[REPLICA_SETS.kind]) == 1
    assert world.observe_fleet().fleet.status.collision_count is None


def test_a_paused_fleet_makes_no_new_replica_set_and_still_scales() -> None:
    """``TestPausedDeployment`` and ``TestScalePausedDeployment``."""
    world = world_of("a", replicas=1)
    world.change_spec({"paused": True, "template": template("b"), "replicas": 3})
    world.settle()
    [raw] = world.objects[REPLICA_SETS.kind].values()
    assert raw["spec"]["replicas"] == 3
