"""Back to a kept revision: the change of the fleet, whoever makes it.

As ``TestRollback`` and ``TestReentrantRollback`` of Deployment's controller (v1.15) and kubectl's ``rollout undo``.
"""

import copy
from typing import Any

import pytest

from rayfleet.manifest.replica_set import decode_replica_set
from rayfleet.model.fleet import ReplicaSet
from rayfleet.model.json import Json
from rayfleet.model.resources import FLEETS, REPLICA_SETS
from rayfleet.objects.merge_patch import merge_patch_to
from rayfleet.planning.fleet.rollback import Rollback, RollbackOutcome, rollback_to
from rayfleet.planning.writes import Merge, ref_of
from rayfleet.testing.planner_world import PlannerWorld

LABELS = {"app": "x"}
CAUSE = "kubernetes.io/change-cause"
ROLLBACK = "deprecated.deployment.rollback.to"


def template(image: str, **spec: Any) -> Json:
    group = {"template": {"spec": {"containers": [{"name": "ray", "image": image}]}}}
    return {"metadata": {"labels": LABELS}, "spec": {"headGroupSpec": group, **spec}}


def make_world(*templates: Json) -> PlannerWorld:
    """Return a fleet that had these templates, one after the other."""
    world = PlannerWorld()
    spec = {"selector": {"matchLabels": LABELS}, "template": templates[0]}
    kind = {"apiVersion": "orchestration.aibrix.ai/v1alpha1", "kind": "RayClusterFleet"}
    world.apply_fleet({**kind, "metadata": {"name": "fleet"}, "spec": spec})
    for each in templates:
        world.change_spec({"template": each})
        world.settle()
    return world


def replica_sets(world: PlannerWorld) -> tuple[ReplicaSet, ...]:
    return tuple(decode_replica_set(raw) for raw in world.objects[REPLICA_SETS.kind].values())


def back(world: PlannerWorld, revision: int) -> Rollback:
    return rollback_to(world.fleet, replica_sets(world), revision)


def apply(world: PlannerWorld, rollback: Rollback) -> None:
    world.stored.apply(Merge(resource=FLEETS, ref=ref_of(world.fleet), patch=rollback.patch))


def test_the_template_comes_back_as_the_user_wrote_it() -> None:
    first, second = template("a", rayVersion="2.60.0"), template("b", suspend=False)
    world = make_world(copy.deepcopy(first), second)
    rollback = back(world, 1)
    assert (rollback.outcome, rollback.revision) == (RollbackOutcome.CHANGES, 1)
    apply(world, rollback)
    assert world.fleet["spec"]["template"] == first


def test_zero_is_the_revision_before() -> None:
    world = make_world(template("a"), template("b"), template("c"))
    assert back(world, 0).revision == 2


def test_a_revision_that_is_not_kept_is_said() -> None:
    world = make_world(template("a"), template("b"))
    assert (back(world, 7).outcome, back(world, 7).patch) == (RollbackOutcome.NOT_KEPT, {})
    assert back(make_world(template("a")), 0).outcome is RollbackOutcome.NOT_KEPT


def test_the_present_template_is_no_change() -> None:
    world = make_world(template("a"), template("b"))
    assert (back(world, 2).outcome, back(world, 2).patch) == (RollbackOutcome.UNCHANGED, {})


def test_the_cause_that_the_history_shows_comes_back_with_it() -> None:
    world = make_world(template("a"))
    world.stored.apply(
        Merge(resource=FLEETS, ref=ref_of(world.fleet), patch={"metadata": {"annotations": {CAUSE: "first"}}})
    )
    world.settle()
    changed = {"metadata": {"annotations": {CAUSE: "second"}}, "spec": {"template": template("b")}}
    world.stored.apply(Merge(resource=FLEETS, ref=ref_of(world.fleet), patch=changed))
    world.settle()
    assert back(world, 1).patch["metadata"] == {"annotations": {CAUSE: "first"}}


def serving_fleet(serving: Json) -> Json:
    return {"metadata": {"name": "fleet", "labels": {}}, "spec": {"serving": serving}}


def serving_set(world: PlannerWorld, note: str | None) -> ReplicaSet:
    [raw] = world.objects[REPLICA_SETS.kind].values()
    noted = copy.deepcopy(raw)
    if note is not None:
        noted["metadata"]["annotations"]["orchestration.aibrix.ai/serving"] = note
    return decode_replica_set(noted)


def test_a_short_form_comes_back_as_the_short_form() -> None:
    kept = serving_set(make_world(template("a")), '{"engine":"vllm","model":"m","servedModelName":"fleet"}')
    now = {"engine": "vllm", "model": "m", "servedModelName": "fleet", "args": ["--broken"]}
    assert rollback_to(serving_fleet(now), [kept], 1).patch == {"spec": {"serving": {"args": None}}}
    unchanged = rollback_to(serving_fleet({"engine": "vllm", "model": "m"}), [kept], 1)
    assert unchanged.outcome is RollbackOutcome.UNCHANGED


def test_a_short_form_that_nobody_kept_is_said() -> None:
    kept = serving_set(make_world(template("a")), None)
    rollback = rollback_to(serving_fleet({"engine": "vllm", "model": "m"}), [kept], 1)
    assert rollback.outcome is RollbackOutcome.NOT_KEPT
    assert "spec.serving" in rollback.message


def test_a_merge_patch_takes_away_what_the_target_has_not() -> None:
    current = {"a": 1, "b": {"c": 1, "d": 2}, "e": [1], "f": {"g": 1}}
    target = {"b": {"d": 3, "n": {"x": None, "y": 1}}, "e": [2], "f": {"g": 1}}
    assert merge_patch_to(current, target) == {"a": None, "b": {"c": None, "d": 3, "n": {"y": 1}}, "e": [2]}
    assert merge_patch_to(target, target) == {}


def asked(world: PlannerWorld, revision: str) -> list[tuple[str, str]]:
    """Ask for a revision by annotation and let everything settle; return what was said of it: type and reason."""
    patch = {"metadata": {"annotations": {ROLLBACK: revision}}}
    world.stored.apply(Merge(resource=FLEETS, ref=ref_of(world.fleet), patch=patch))
    plan = world.fleet_pass()
    events = [action.event for action in plan.actions if isinstance(action, Merge) and action.event is not None]
    world.settle()
    assert ROLLBACK not in world.fleet["metadata"]["annotations"]
    return [(event.type, event.reason) for event in events]


def test_the_annotation_brings_a_revision_back() -> None:
    first = template("a")
    world = make_world(copy.deepcopy(first), template("b"))
    assert asked(world, "0") == [("Normal", "DeploymentRollback")]
    assert world.fleet["spec"]["template"] == first
    assert sorted(each.spec.replicas for each in replica_sets(world)) == [0, 1]
    assert world.fleet["status"]["revision"] == 3


@pytest.mark.parametrize("revision", ["7", "soon", "-1"])
def test_an_annotation_that_cannot_be_obeyed_is_said_and_taken_off(revision: str) -> None:
    world = make_world(template("a"), template("b"))
    assert asked(world, revision) == [("Warning", "DeploymentRollbackRevisionNotFound")]
    assert world.fleet["spec"]["template"] == template("b")


def test_asking_for_the_present_template_changes_nothing() -> None:
    world = make_world(template("a"), template("b"))
    assert asked(world, "2") == [("Warning", "DeploymentRollbackTemplateUnchanged")]


def test_a_paused_fleet_waits_with_it() -> None:
    """Deployment's sync asks whether it is paused before it looks for the annotation."""
    world = make_world(template("a"), template("b"))
    world.change_spec({"paused": True})
    patch = {"metadata": {"annotations": {ROLLBACK: "1"}}}
    world.stored.apply(Merge(resource=FLEETS, ref=ref_of(world.fleet), patch=patch))
    world.settle()
    assert world.fleet["metadata"]["annotations"][ROLLBACK] == "1"
    world.change_spec({"paused": False})
    world.settle()
    assert world.fleet["spec"]["template"] == template("a")
