"""Which templates are the same: what makes no difference to any pod rolls nothing.

As ``TestEqualIgnoreHash``, ``TestFindNewReplicaSet`` and ``TestFindOldReplicaSets`` of Deployment's ``util``, by the
meaning of a template and not by its text.
"""

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from rayfleet.manifest.serving import decode_serving, encode_serving
from rayfleet.model.fleet import Fleet, FleetSpec, RayClusterTemplate, ReplicaSet, ReplicaSetSpec, Selector
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectMeta
from rayfleet.model.resources import REPLICA_SETS
from rayfleet.planning.fleet.identity import fleet_identity, is_of_revision, template_identity
from rayfleet.planning.fleet.view import view_of
from rayfleet.planning.observed import ObservedFleet
from rayfleet.testing.planner_world import PlannerWorld

HASH = "orchestration.aibrix.ai/template-hash"
CONTAINER: Json = {"name": "ray", "image": "a", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
WORKERS: Json = {"groupName": "workers", "replicas": 1}


def template(container: ReadOnlyJson | None = None, pod: ReadOnlyJson | None = None, **spec: Any) -> RayClusterTemplate:
    containers = [{**CONTAINER, **(container or {})}]
    head = {"rayStartParams": {"num-cpus": "1"}, "template": {"spec": {"containers": containers, **(pod or {})}}}
    return RayClusterTemplate(labels={"app": "x"}, spec={"headGroupSpec": head, **spec})


def limits(**amounts: Any) -> Json:
    return {"resources": {"limits": amounts}}


SAME = {
    "a number as an amount": (template(), template(limits(cpu=1, memory="1Gi"))),
    "another suffix": (template(), template(limits(cpu="1000m", memory="1024Mi"))),
    "bytes": (template(), template(limits(cpu="1", memory="1073741824"))),
    "an exponent": (template(limits(memory="1e6")), template(limits(memory="1M"))),
    "a text that is empty": (template(), template(pod={"priorityClassName": "", "hostname": ""})),
    "a probe's zeros": (
        template({"livenessProbe": {"tcpSocket": {"port": 1}}}),
        template({"livenessProbe": {"tcpSocket": {"port": 1}, "failureThreshold": 0, "timeoutSeconds": 0}}),
    ),
    "an empty list": (template(), template(pod={"tolerations": []})),
    "no worker groups": (template(), template(workerGroupSpecs=[])),
    "a field that is null": (template(), template(pod={"affinity": None})),
    "requests of nothing": (template(), template({"resources": {**CONTAINER["resources"], "requests": {}}})),
    "an empty mapping that says nothing": (template(), template({"securityContext": {}})),
    "an affinity that says nothing": (template(), template(pod={"affinity": {"podAntiAffinity": {}}})),
    "the environment's numbers": (
        template({"env": [{"name": "A", "value": "1"}]}),
        template({"env": [{"name": "A", "value": 1}]}),
    ),
    "an empty value of the environment": (
        template({"env": [{"name": "A"}]}),
        template({"env": [{"name": "A", "value": ""}]}),
    ),
    "a protocol that is TCP anyway": (
        template({"ports": [{"containerPort": 80}]}),
        template({"ports": [{"containerPort": 80, "protocol": "TCP"}]}),
    ),
    "what KubeRay's CRD writes in": (
        template(workerGroupSpecs=[WORKERS]),
        template(workerGroupSpecs=[{**WORKERS, "numOfHosts": 1, "minReplicas": 0, "maxReplicas": 2**31 - 1}]),
    ),
    "workers to delete": (
        template(workerGroupSpecs=[WORKERS]),
        template(workerGroupSpecs=[{**WORKERS, "scaleStrategy": {"workersToDelete": ["w"]}}]),
    ),
    "the size of a volume": (
        template(pod={"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}]}),
        template(pod={"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1024Mi"}}]}),
    ),
}
DIFFERENT = {
    "a little more than a power": (template(limits(memory="1024k")), template(limits(memory="1Mi"))),
    "a class of storage that is empty": (
        template(pod={"claim": {"storageClassName": ""}}),
        template(pod={"claim": {}}),
    ),
    "a label that is empty": (
        template(pod={"nodeSelector": {"gpu": ""}}),
        template(pod={"nodeSelector": {}}),
    ),
    "another amount": (template(), template(limits(cpu="1001m", memory="1Gi"))),
    "another image": (template(), template({"image": "b"})),
    "an empty volume is a volume": (
        template(pod={"volumes": [{"name": "v"}]}),
        template(pod={"volumes": [{"name": "v", "emptyDir": {}}]}),
    ),
    "an empty selector selects everything": (
        template(pod={"term": {"topologyKey": "zone"}}),
        template(pod={"term": {"topologyKey": "zone", "labelSelector": {}}}),
    ),
    "an environment variable more": (template(), template({"env": [{"name": "A"}]})),
    "another order": (template({"args": ["a", "b"]}), template({"args": ["b", "a"]})),
    "a text that only looks like an amount": (template({"args": ["1024Mi"]}), template({"args": ["1Gi"]})),
    "a label that is there": (template(), replace(template(), labels={"app": "x", "tier": ""})),
    "more workers": (
        template(workerGroupSpecs=[WORKERS]),
        template(workerGroupSpecs=[{**WORKERS, "replicas": 2}]),
    ),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_templates_that_mean_the_same_are_the_same(one: RayClusterTemplate, other: RayClusterTemplate) -> None:
    assert template_identity(one) == template_identity(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_templates_that_mean_something_else_differ(one: RayClusterTemplate, other: RayClusterTemplate) -> None:
    assert template_identity(one) != template_identity(other)


def serving_fleet(**fields: Any) -> Fleet:
    raw = {"engine": "vllm", "model": "m", "resources": {"cpu": "1", "memory": "1Gi"}, **fields}
    spec = FleetSpec(selector=Selector(), serving=decode_serving(raw, default_name="m"))
    return Fleet(meta=ObjectMeta(name="fleet"), spec=spec)


@pytest.mark.parametrize(
    ("fields", "is_same"),
    [
        ({"resources": {"cpu": 1, "memory": "1024Mi"}}, True),
        ({"args": [], "env": {}, "nodes": 1}, True),
        ({"resources": {"cpu": 2, "memory": "1Gi"}}, False),
        ({"args": ["--x"]}, False),
        ({"restartedAt": "2026-01-01T00:00:00Z"}, False),
    ],
)
def test_the_short_form_is_known_by_its_meaning_too(fields: Json, is_same: bool) -> None:
    unlike = RayClusterTemplate(spec={"rendered": "otherwise"})
    is_equal = fleet_identity(serving_fleet(), RayClusterTemplate()) == fleet_identity(serving_fleet(**fields), unlike)
    assert is_equal is is_same


def settled_world() -> PlannerWorld:
    world = PlannerWorld()
    raw = {"metadata": {"labels": {"app": "x"}}, "spec": copy.deepcopy(template(limits(cpu=1, memory="1024Mi")).spec)}
    world.apply_fleet(
        {
            "apiVersion": "orchestration.aibrix.ai/v1alpha1",
            "kind": "RayClusterFleet",
            "metadata": {"name": "fleet"},
            "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": raw},
        }
    )
    world.settle()
    return world


def as_left_by(world: PlannerWorld, note: str | None) -> None:
    """Write the replica set as AIBrix's controller (Go) would have: canonical amounts, empty fields, its own note."""
    [raw] = world.objects[REPLICA_SETS.kind].values()
    left = copy.deepcopy(raw)
    left["metadata"]["annotations"].pop(HASH)
    if note is not None:
        left["metadata"]["annotations"][HASH] = note
    left["spec"]["template"]["metadata"]["creationTimestamp"] = None
    head = left["spec"]["template"]["spec"]["headGroupSpec"]
    head["template"]["metadata"]["creationTimestamp"] = None
    head["template"]["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "1", "memory": "1Gi"}}
    world.stored.put(left)


@pytest.mark.parametrize("note", [None, "0a1b2c"], ids=["AIBrix", "another rayfleet"])
def test_taking_over_rolls_nothing(note: str | None) -> None:
    world = settled_world()
    as_left_by(world, note)
    world.settle()
    assert len(world.objects[REPLICA_SETS.kind]) == 1


def test_a_short_form_is_known_by_its_note_when_the_hash_is_of_another_form() -> None:
    """What an older rayfleet rendered from it looks otherwise."""
    fleet, template = serving_fleet(), RayClusterTemplate(spec={"rendered": "otherwise"})
    assert fleet.spec.serving is not None
    annotations = {HASH: "2.0a1b2c", "orchestration.aibrix.ai/serving": json.dumps(encode_serving(fleet.spec.serving))}
    spec = ReplicaSetSpec(selector=Selector(), template=RayClusterTemplate(spec={"rendered": "long ago"}))
    old = ReplicaSet(meta=ObjectMeta(name="fleet-1", annotations=annotations), spec=spec)
    assert is_of_revision(old, fleet_identity(fleet, template), template)
    other = serving_fleet(args=["--x"])
    assert not is_of_revision(old, fleet_identity(other, template), template)


def test_of_several_that_match_the_oldest_is_the_new_one() -> None:
    """``TestFindNewReplicaSet``: of those with the fleet's template, the one of the earliest creation."""
    world = settled_world()
    observed = world.observe_fleet()
    [first] = observed.replica_sets
    assert first.meta.created_at is not None
    earlier = first.meta.created_at.replace(year=2020)
    older = replace(first, meta=replace(first.meta, name="older", uid="u", created_at=earlier))
    for both in ((first, older), (older, first)):
        assert new_of(replace(observed, replica_sets=both), world) == "older"


def new_of(observed: ObservedFleet, world: PlannerWorld) -> str:
    new = view_of(observed, world.now).new
    assert new is not None
    return new.replica_set.meta.name
