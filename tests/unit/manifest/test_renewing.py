"""A later version of a fleet or replica set says what decoding it says, however it was come by."""

import copy
from typing import Any

import pytest

from rayfleet.controllers.fleet_source import FleetSources, renewed_source
from rayfleet.manifest.fleet import decode_fleet, renewed_fleet
from rayfleet.manifest.replica_set import decode_replica_set, renewed_replica_set
from rayfleet.model.json import Json
from rayfleet.testing.fleet_world import fleet_manifest

OPEN = ("spec", "template", "spec", "ofNewerKubeRay")
CHANGES: tuple[tuple[tuple[str, ...], Any], ...] = (
    (("status", "replicas"), 3),
    (("status", "conditions"), [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]),
    (("metadata", "resourceVersion"), "77"),
    (("metadata", "generation"), 9),
    (("metadata", "deletionTimestamp"), "2026-01-01T00:00:00Z"),
    (("metadata", "labels", "team"), "a"),
    (("metadata", "annotations", "note"), "b"),
    (("spec", "replicas"), 7),
    (("spec", "replicas"), 0),
    (("spec", "minReadySeconds"), 5),
    ((*OPEN, "number"), True),
    ((*OPEN, "number"), 1.0),
    ((*OPEN, "other"), "x"),
)


def world_fleet() -> Json:
    raw = fleet_manifest("default", "a", replicas=1)
    raw["metadata"] |= {"uid": "u", "resourceVersion": "1", "generation": 1}
    raw["status"] = {"replicas": 1}
    return with_change(raw, (*OPEN, "number"), 1)


def replica_set_of(fleet: Json) -> Json:
    spec = {name: fleet["spec"][name] for name in ("replicas", "selector", "template")}
    return {**fleet, "kind": "RayClusterReplicaSet", "spec": copy.deepcopy(spec)}


def with_change(raw: Json, path: tuple[str, ...], value: Any) -> Json:
    changed = copy.deepcopy(raw)
    inner = changed
    for name in path[:-1]:
        inner = inner.setdefault(name, {})
    inner[path[-1]] = value
    return changed


@pytest.mark.parametrize(("path", "value"), CHANGES)
def test_what_is_renewed_is_what_decoding_says(path: tuple[str, ...], value: Any) -> None:
    fleet = world_fleet()
    changed = with_change(fleet, path, value)
    assert_same(renewed_fleet(decode_fleet(fleet), fleet, changed), decode_fleet(changed))
    source = FleetSources({}).decoded
    assert_same(renewed_source(source(fleet), fleet, changed), source(changed))
    owned, scaled = replica_set_of(fleet), replica_set_of(changed)
    assert_same(renewed_replica_set(decode_replica_set(owned), owned, scaled), decode_replica_set(scaled))


def assert_same(renewed: object, decoded: object) -> None:
    """Hold it to the letter: 1, 1.0 and true are equal to Python."""
    assert renewed is None or repr(renewed) == repr(decoded)


def test_a_status_and_a_size_are_no_reason_to_decode() -> None:
    fleet = world_fleet()
    owned = replica_set_of(fleet)
    for path, value in CHANGES[:5]:
        assert renewed_fleet(decode_fleet(fleet), fleet, with_change(fleet, path, value)) is not None
    for path, value in (*CHANGES[:5], *CHANGES[7:9]):
        assert renewed_replica_set(decode_replica_set(owned), owned, with_change(owned, path, value)) is not None


@pytest.mark.parametrize("size", [-1, True, "3", 2**31, None])
def test_a_size_that_is_none_is_left_to_decoding(size: Any) -> None:
    owned = replica_set_of(world_fleet())
    assert renewed_replica_set(decode_replica_set(owned), owned, with_change(owned, ("spec", "replicas"), size)) is None
