"""What the collector writes: only what the server's own word supports, each write guarded by what was seen."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from rayfleet.local.garbage.namespaces import FINALIZER, ObservedNamespace, plan_namespace
from rayfleet.local.garbage.nodes import node_of
from rayfleet.local.garbage.planning import (
    FOREGROUND,
    RETRY,
    Candidate,
    Collect,
    DropOwners,
    Facts,
    Node,
    ObservedGarbage,
    Release,
    Unblock,
    plan_collection,
)
from rayfleet.model.json import Json
from rayfleet.model.propagation import Propagation
from rayfleet.model.resources import NAMESPACES, PODS, RAY_CLUSTERS
from rayfleet.objects.owners import controller_reference
from rayfleet.planning.writes import Action, Delete, Merge, Replace

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def pod(*owners: str, **meta: object) -> Json:
    references = [controller_reference(RAY_CLUSTERS, name, name) for name in owners]
    named = {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "5", "ownerReferences": references}
    return {"metadata": named | meta}


def owner(name: str, *finalizers: str, is_deleting: bool = False) -> Node:
    stamp = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if is_deleting else {}
    meta = {"name": name, "namespace": "n", "uid": name, "finalizers": list(finalizers), **stamp}
    return node_of(RAY_CLUSTERS, {"metadata": meta})


def written(candidate: Candidate, current: Json, *there: Node, neighbours: tuple[Node, ...] = ()) -> tuple[Action, ...]:
    facts = Facts(
        candidate=candidate,
        current=current,
        now=node_of(PODS, current),
        owners={each.uid: each for each in there},
        neighbours=neighbours,
    )
    return plan_collection(ObservedGarbage(facts=(facts,)), NOW).actions


def collect(current: Json) -> Collect:
    return Collect(node=node_of(PODS, current), propagation=Propagation.BACKGROUND)


def test_what_no_owner_keeps_is_deleted_as_it_was_seen() -> None:
    """By its version too: it may be adopted between the question and the deletion."""
    [action] = written(collect(pod("gone")), pod("gone"))
    assert isinstance(action, Delete)
    assert (action.ref.uid, action.ref.resource_version) == ("u", "5")
    assert action.propagation == Propagation.BACKGROUND


@pytest.mark.parametrize("there", [owner("a"), owner("a", is_deleting=True)], ids=["alive", "marked, not waiting"])
def test_an_owner_that_the_server_still_has_keeps_it(there: Node) -> None:
    """The store said that it was gone; the server knows better."""
    assert written(collect(pod("a")), pod("a"), there) == ()


def test_an_owner_that_waits_for_it_keeps_nothing() -> None:
    assert len(written(collect(pod("a")), pod("a"), owner("a", FOREGROUND, is_deleting=True))) == 1


@pytest.mark.parametrize("current", [pod(), pod("gone", uid="successor")], ids=["owners were taken off", "a successor"])
def test_what_is_no_longer_what_was_seen_is_left(current: Json) -> None:
    assert written(collect(pod("gone")), current) == ()


def test_an_owner_of_an_unknown_kind_is_not_ours_to_judge() -> None:
    unknown = {"apiVersion": "example.com/v1", "kind": "Thing", "name": "t", "uid": "t"}
    current = pod(ownerReferences=[unknown])
    assert written(collect(current), current) == ()


def test_a_finalizer_goes_when_nothing_is_left_to_wait_for() -> None:
    current = pod(finalizers=[FOREGROUND, "mine"])
    release = Release(node=node_of(PODS, current), finalizer=FOREGROUND)
    [action] = written(release, current)
    assert isinstance(action, Merge)
    assert action.patch == {"metadata": {"finalizers": ["mine"]}}
    assert (action.ref.uid, action.ref.resource_version) == ("u", "5")
    blocking = node_of(
        PODS, {"metadata": {"name": "q", "uid": "q", "ownerReferences": pod("u")["metadata"]["ownerReferences"]}}
    )
    assert written(release, current, neighbours=(blocking,)) == ()


def test_a_dependent_that_lives_on_loses_only_owners_that_are_gone() -> None:
    current = pod("kept", "gone", "there")
    drop = DropOwners(
        node=node_of(PODS, current), uids=frozenset({"gone", "there"}), dangling=frozenset({"gone", "there"})
    )
    [action] = written(drop, current, owner("there"))
    assert isinstance(action, Merge)
    assert [entry["uid"] for entry in action.patch["metadata"]["ownerReferences"]] == ["kept", "there"]


def test_a_circle_is_opened_and_then_needs_nothing() -> None:
    current = pod("a")
    [action] = written(Unblock(node=node_of(PODS, current)), current)
    assert isinstance(action, Merge)
    opened = pod(ownerReferences=action.patch["metadata"]["ownerReferences"])
    assert opened["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] is False
    assert written(Unblock(node=node_of(PODS, opened)), opened) == ()


def test_one_that_could_not_be_asked_about_stops_no_other_and_is_asked_again() -> None:
    current = pod("gone")
    facts = Facts(candidate=collect(current), current=current, now=node_of(PODS, current))
    plan = plan_collection(ObservedGarbage(facts=(facts, facts), is_incomplete=True), NOW)
    assert (len(plan.actions), plan.is_ordered, plan.requeue_after) == (2, False, RETRY)


def namespace(*finalizers: str, is_deleting: bool = True) -> Json:
    stamp = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if is_deleting else {}
    return {"metadata": {"name": "n", "uid": "n", **stamp}, "spec": {"finalizers": list(finalizers)}}


def test_a_namespace_that_goes_is_emptied_first() -> None:
    content = ((PODS, pod()), (PODS, pod(uid="v", deletionTimestamp="2026-01-01T00:00:00Z")))
    plan = plan_namespace(ObservedNamespace(namespace=namespace(FINALIZER), content=content), NOW)
    assert [(type(action), action.ref.uid) for action in plan.actions if isinstance(action, Delete)] == [(Delete, "u")]
    assert plan.requeue_after is not None


def test_an_empty_namespace_is_let_go_of_with_all_else_as_it_was() -> None:
    observed = ObservedNamespace(namespace=namespace("mine", FINALIZER))
    [action] = plan_namespace(observed, NOW).actions
    assert isinstance(action, Replace)
    assert (action.resource, action.subresource) == (NAMESPACES, "finalize")
    assert action.content == namespace("mine")
    assert plan_namespace(replace(observed, namespace=namespace("mine")), NOW).actions == ()


def test_a_namespace_that_stays_is_left_alone() -> None:
    content = ((PODS, pod()),)
    observed = ObservedNamespace(namespace=namespace(FINALIZER, is_deleting=False), content=content)
    assert plan_namespace(observed, NOW).actions == ()
