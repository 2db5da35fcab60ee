"""Who takes what nobody controls, and lets go what it no longer selects.

As ``TestGetReplicaSetsForDeploymentAdoptRelease`` of Deployment's controller, and of the ReplicaSet's
``TestDoNotAdoptOrCreateIfBeingDeleted`` with its ``Race``.
"""

import copy
import inspect
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from rayfleet.kube.errors import Conflict
from rayfleet.model.fleet import LabelRequirement, Selector
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectMeta
from rayfleet.model.resources import FLEETS, RAY_CLUSTERS, REPLICA_SETS, ResourceType
from rayfleet.objects.owners import controller_reference, controller_uid
from rayfleet.planning.claims import Claimant, Claims, claim_writes, claims_of
from rayfleet.planning.fleet.claimant import might_claim
from rayfleet.planning.writes import Merge
from rayfleet.testing.planner_world import PlannerWorld, answered
from rayfleet.testing.stored_objects import with_metadata

OWNER = ObjectMeta(name="fleet", uid="ours")
CLAIMANT = Claimant(resource=FLEETS, meta=OWNER, selector=Selector(match_labels={"app": "x"}))
DELETED = datetime(2026, 1, 2, tzinfo=UTC)
OTHER_OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "c"}


def child(owner: str | None = None, *, app: str = "x", **meta: object) -> Json:
    references = [OTHER_OWNER] + ([controller_reference(FLEETS, "fleet", owner)] if owner else [])
    given = {"name": "child", "uid": "child", "resourceVersion": "7", "labels": {"app": app}}
    return {"metadata": {**given, "ownerReferences": references, **meta}}


def claims(claimant: Claimant, raw: ReadOnlyJson) -> Claims:
    """Return the claims to one object; a store files it under its controller or with the orphans."""
    owned = [raw] if controller_uid(raw) == claimant.meta.uid else []
    return claims_of(claimant, owned, [raw] if controller_uid(raw) is None else [])


GOING = {"deletionTimestamp": "2026-01-02T03:04:05Z"}


@pytest.mark.parametrize(
    ("raw", "taken", "let_go"),
    [
        (child("ours"), 0, 0),
        (child("ours", app="y"), 0, 1),
        (child(None), 1, 0),
        (child(None, app="y"), 0, 0),
        (child("another's"), 0, 0),
        (child("another's", app="y"), 0, 0),
        (child(None, **GOING), 0, 0),
        (child("ours", app="y", **GOING), 0, 0),
    ],
    ids=[
        "owned and selected",
        "owned, not selected",
        "orphan, selected",
        "orphan, not selected",
        "another's, selected",
        "another's, not selected",
        "an orphan on its way out",
        "one of ours on its way out",
    ],
)
def test_what_changes_hands(raw: Json, taken: int, let_go: int) -> None:
    changing = claims(CLAIMANT, raw)
    assert (len(changing.taken), len(changing.let_go)) == (taken, let_go)


@pytest.mark.parametrize(
    "claimant",
    [
        replace(CLAIMANT, meta=replace(OWNER, deleted_at=DELETED)),
        replace(CLAIMANT, selector=Selector()),
    ],
    ids=["on its way out", "without a selector"],
)
def test_who_claims_nothing(claimant: Claimant) -> None:
    assert not claims(claimant, child(None))
    assert not claims(claimant, child("ours", app="y"))


def test_a_selector_s_expressions_count_too() -> None:
    """A defect of the peer: its replica sets ignore ``matchExpressions``."""
    selector = Selector(match_expressions=(LabelRequirement(key="app", operator="NotIn", values=("x",)),))
    assert not claims(replace(CLAIMANT, selector=selector), child(None)).taken
    assert claims(replace(CLAIMANT, selector=selector), child(None, app="y")).taken


def test_others_keep_their_ownership_and_the_write_is_of_what_was_seen() -> None:
    [taking] = claim_writes(CLAIMANT, Claims(taken=(child(None),)), REPLICA_SETS)
    [letting_go] = claim_writes(CLAIMANT, Claims(let_go=(child("ours", app="y"),)), REPLICA_SETS)
    ours = controller_reference(FLEETS, "fleet", "ours")
    assert taking.patch == {"metadata": {"ownerReferences": [OTHER_OWNER, ours]}}
    assert letting_go.patch == {"metadata": {"ownerReferences": [OTHER_OWNER]}}
    for write in (taking, letting_go):
        assert (write.ref.uid, write.ref.resource_version) == ("child", "7")


def fleet_manifest(name: str = "fleet") -> Json:
    pod = {"template": {"spec": {"containers": [{"name": "ray", "image": "a"}]}}}
    return {
        "apiVersion": FLEETS.api_version,
        "kind": FLEETS.kind,
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": "x"}},
            "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"headGroupSpec": pod}},
        },
    }


def orphaned(world: PlannerWorld, kind: str) -> Json:
    """Take the owner off the one object of a kind, as a deletion with orphans does; return it."""
    [raw] = world.objects[kind].values()
    world.stored.put(with_metadata(raw, {"ownerReferences": []}))
    return world.objects[kind][raw["metadata"]["name"]]


@pytest.fixture
def world() -> PlannerWorld:
    world = PlannerWorld()
    world.apply_fleet(fleet_manifest())
    world.settle()
    return world


def test_a_fleet_made_again_takes_its_orphan_and_its_ray_cluster_with_it(world: PlannerWorld) -> None:
    """Deleted with ``--cascade=orphan`` and applied again; nothing new is made."""
    orphan = orphaned(world, REPLICA_SETS.kind)
    del world.objects[FLEETS.kind]["fleet"]
    world.apply_fleet(fleet_manifest())
    before = world.names()
    plan = world.fleet_pass()
    assert [type(action) for action in plan.actions] == [Merge], "nothing else before it is its own"
    world.settle()
    assert world.names() == before
    [raw] = world.objects[REPLICA_SETS.kind].values()
    assert raw["metadata"]["uid"] == orphan["metadata"]["uid"]
    assert controller_uid(raw) == world.fleet["metadata"]["uid"]


def test_a_replica_set_takes_its_orphaned_ray_cluster(world: PlannerWorld) -> None:
    orphan = orphaned(world, RAY_CLUSTERS.kind)
    world.settle()
    assert world.names() == [orphan["metadata"]["name"]]


def test_a_relabelled_ray_cluster_is_let_go_and_another_made(world: PlannerWorld) -> None:
    [raw] = world.objects[RAY_CLUSTERS.kind].values()
    world.stored.put(with_metadata(raw, {"labels": {"app": "debugged"}}))
    world.settle()
    owners = [controller_uid(each) for each in world.objects[RAY_CLUSTERS.kind].values()]
    assert len(owners) == 2
    assert owners[0] is None


@pytest.mark.parametrize("resource", [FLEETS, REPLICA_SETS], ids=["fleet", "replica set"])
def test_nothing_is_taken_nor_made_for_an_owner_that_only_the_store_still_has(
    world: PlannerWorld, resource: ResourceType
) -> None:
    """``TestDoNotAdoptOrCreateIfBeingDeletedRace``: the server says that the owner goes, or is another one."""
    orphaned(world, REPLICA_SETS.kind if resource is FLEETS else RAY_CLUSTERS.kind)
    [owner] = copy.deepcopy(list(world.objects[resource.kind].values()))
    steps = world.steps(resource)
    for newer in ({"deletionTimestamp": "2026-01-02T03:04:05Z"}, {"uid": "successor"}):
        world.objects[resource.kind][owner["metadata"]["name"]] = with_metadata(owner, newer)
        with pytest.raises(Conflict):
            answered(steps.observe(owner))


@pytest.mark.parametrize("resource", [FLEETS, REPLICA_SETS], ids=["fleet", "replica set"])
def test_nothing_is_made_anew_for_an_owner_that_went_with_all_it_had(
    world: PlannerWorld, resource: ResourceType
) -> None:
    """The watch of its children is ahead of its own: else each pass makes one, and the next deletion brings a pass."""
    [owner] = copy.deepcopy(list(world.objects[resource.kind].values()))
    assert world.steps(resource).observe(owner) is not None
    for kind in (REPLICA_SETS, RAY_CLUSTERS)[resource is REPLICA_SETS :]:
        world.objects[kind.kind].clear()
    del world.objects[resource.kind][owner["metadata"]["name"]]
    with pytest.raises(Conflict):
        answered(world.steps(resource).observe(owner))


@pytest.mark.parametrize(
    ("resource", "spec"), [(FLEETS, {"paused": True}), (REPLICA_SETS, {"replicas": 0})], ids=["fleet", "replica set"]
)
def test_an_owner_that_makes_nothing_asks_nobody(world: PlannerWorld, resource: ResourceType, spec: Json) -> None:
    [owner] = copy.deepcopy(list(world.objects[resource.kind].values()))
    for kind in (REPLICA_SETS, RAY_CLUSTERS)[resource is REPLICA_SETS :]:
        world.objects[kind.kind].clear()
    del world.objects[resource.kind][owner["metadata"]["name"]]
    owner["spec"] |= spec
    assert not inspect.isawaitable(world.steps(resource).observe(owner))


@pytest.mark.parametrize(
    ("spec", "labels", "might"),
    [
        ({"selector": {"matchLabels": {"app": "x"}}}, {"app": "x"}, True),
        ({"selector": {"matchLabels": {"app": "x"}}}, {"app": "y"}, False),
        ({"serving": {}}, {"orchestration.aibrix.ai/raycluster-fleet-name": "fleet"}, True),
        ({"serving": {}}, {"app": "x"}, False),
    ],
)
def test_an_orphan_wakes_the_fleets_that_might_take_it(spec: Json, labels: Json, might: bool) -> None:
    assert might_claim({"metadata": {"name": "fleet"}, "spec": spec}, labels) is might
