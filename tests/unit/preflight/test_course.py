"""What a change would do: accelerators now, at the peak and then; revisions; fields."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from rayfleet.controllers.fleet import observed_fleet
from rayfleet.controllers.fleet_source import FleetSources
from rayfleet.model.json import Json
from rayfleet.model.resources import RAY_CLUSTERS, REPLICA_SETS
from rayfleet.planning.fleet.plan import plan_fleet
from rayfleet.planning.observed import ObservedFleet
from rayfleet.planning.writes import Create
from rayfleet.preflight.changes import changes
from rayfleet.preflight.course import Amounts, Course, course
from rayfleet.testing.good_fleet import good_fleet
from rayfleet.testing.stored_objects import StoredObjects, with_metadata

NOW = datetime(2026, 11, 28, tzinfo=UTC)
SPEC = "spec.template.spec"
IMAGE = f"{SPEC}.headGroupSpec.template.spec.containers.0.image"
ROLLING = "spec.strategy.rollingUpdate"


def gpus(count: int) -> Json:
    path = f"{SPEC}.headGroupSpec.template.spec.containers.0.resources"
    return {path: {"limits": {"nvidia.com/gpu": count}}}


def fleet(fields: Mapping[str, Any]) -> Json:
    return with_metadata(good_fleet(fields), {"namespace": "default", "uid": "fleet", "name": "qwen"})


def course_of(fields: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> Course:
    """Return the course of a fleet; ``before`` is what it was, with all its Ray clusters there."""
    world = StoredObjects(NOW)
    for manifest in _made(fleet(before)) if before is not None else ():
        world.of_kind(manifest["kind"])[manifest["metadata"]["name"]] = manifest
    observed = observed_fleet(fleet(fields), world, FleetSources({}))
    assert isinstance(observed, ObservedFleet)
    return course(observed, NOW)


def _made(raw: Json) -> list[Json]:
    """Return the replica set that the controller makes of a fleet, and its Ray clusters."""
    observed = observed_fleet(raw, StoredObjects(NOW), FleetSources({}))
    assert isinstance(observed, ObservedFleet)
    created = next(each for each in plan_fleet(observed, NOW).actions if isinstance(each, Create))
    made = with_metadata(created.manifest, {"uid": "set", "creationTimestamp": "2026-01-01T00:00:00Z"})
    owner = {"apiVersion": REPLICA_SETS.api_version, "kind": REPLICA_SETS.kind, "name": "s", "uid": "set"}
    meta = {"namespace": "default", "ownerReferences": [{**owner, "controller": True}]}
    kind = {"apiVersion": RAY_CLUSTERS.api_version, "kind": RAY_CLUSTERS.kind}
    spec = made["spec"]["template"]["spec"]
    clusters = [
        {**kind, "metadata": {**meta, "name": f"c{place}", "uid": f"c{place}"}, "spec": spec}
        for place in range(made["spec"]["replicas"])
    ]
    return [made, *clusters]


def test_a_new_fleet_grows_to_what_it_asks_for() -> None:
    planned = course_of({"spec.replicas": 2, **gpus(4)})
    assert planned.accelerators == Amounts(now=0, peak=8, then=8)
    assert planned.ray_clusters == Amounts(now=0, peak=2, then=2)
    assert planned.revision == "1 (first)"
    assert [step.rsplit("-", 1)[0] for step in planned.steps][:1] == ["create RayClusterReplicaSet qwen"]


@pytest.mark.parametrize(
    ("strategy", "peak"),
    [
        ({ROLLING: {"maxSurge": 1, "maxUnavailable": 0}}, 12),
        ({ROLLING: {"maxSurge": 0, "maxUnavailable": 1}}, 8),
        ({"spec.strategy": {"type": "Recreate"}}, 8),
        ({ROLLING: {"maxSurge": "100%", "maxUnavailable": 0}}, 16),
    ],
)
def test_a_new_template_peaks_as_its_bounds_allow(strategy: Mapping[str, Any], peak: int) -> None:
    base = {"spec.replicas": 2, **gpus(4)}
    planned = course_of({**base, **strategy, IMAGE: "registry.example/llm:2"}, before=base)
    assert planned.accelerators == Amounts(now=8, peak=peak, then=8)
    assert planned.revision == "2 (new template)"


def test_a_template_of_another_size_counts_its_own() -> None:
    before = {"spec.replicas": 2, **gpus(4)}
    rolling = {ROLLING: {"maxSurge": 1, "maxUnavailable": 0}}
    assert course_of({"spec.replicas": 2, **gpus(8), **rolling}, before).accelerators == Amounts(
        now=8, peak=20, then=16
    )
    assert course_of({"spec.replicas": 2, **gpus(1), **rolling}, before).accelerators == Amounts(now=8, peak=9, then=2)


def test_a_scaling_keeps_the_revision_and_never_peaks_above_its_ends() -> None:
    base = {"spec.replicas": 3, **gpus(2)}
    assert course_of({**base, "spec.replicas": 1}, base).accelerators == Amounts(now=6, peak=6, then=2)
    grown = course_of({**base, "spec.replicas": 5}, base)
    assert (grown.accelerators, grown.revision) == (Amounts(now=6, peak=10, then=10), "1 (unchanged)")
    assert grown.steps[0].startswith("change RayClusterReplicaSet")


def test_changes_are_told_field_by_field() -> None:
    before = fleet({"spec.replicas": 1, "spec.paused": True})
    after = fleet({"spec.replicas": 2, "metadata.labels": {"a.b/c": "d"}})
    after["metadata"]["resourceVersion"] = "7"
    after["status"] = {"phase": "x"}
    assert [str(change) for change in changes(before, after)] == [
        'metadata.labels: (none) -> {"a.b/c": "d"}',
        "spec.replicas: 1 -> 2",
        "spec.paused: true -> (none)",
    ]


def test_entries_of_lists_are_told_by_their_place() -> None:
    image = f"{SPEC}.headGroupSpec.template.spec.containers.1.image"
    (change,) = changes(fleet({}), fleet({image: "rayfleet/sidecar:2"}))
    assert change.path == f"{SPEC}.headGroupSpec.template.spec.containers[1].image"


def test_numbers_of_both_kinds_are_the_same() -> None:
    assert changes({"a": 1}, {"a": 1.0}) == []
    assert [each.after for each in changes({"a": 1}, {"a": True})] == ["true"]
