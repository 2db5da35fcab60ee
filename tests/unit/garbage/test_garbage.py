"""What the garbage collector decides. Rules: Kubernetes v1.36 garbagecollector.go, attemptToDeleteItem."""

import pytest

from rayfleet.local.garbage.nodes import changes_the_graph, node_of
from rayfleet.local.garbage.planning import (
    FOREGROUND,
    ORPHAN,
    Candidate,
    Collect,
    DropOwners,
    Node,
    OwnerRef,
    Release,
    Unblock,
    candidates_of,
)
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.propagation import Propagation
from rayfleet.model.resources import PODS, RAY_CLUSTERS, REPLICA_SETS


def ref(name: str, *, blocks: bool = True, is_known: bool = True) -> OwnerRef:
    return OwnerRef(uid=name, name=name, resource=RAY_CLUSTERS if is_known else None, blocks=blocks)


def owner(name: str, *finalizers: str, owners: tuple[OwnerRef, ...] = (), is_deleting: bool = True) -> Node:
    key = ObjectKey(namespace="n", name=name)
    return Node(resource=RAY_CLUSTERS, key=key, uid=name, owners=owners, finalizers=finalizers, is_deleting=is_deleting)


def pod(*owners: OwnerRef, finalizers: tuple[str, ...] = (), is_deleting: bool = False, name: str = "pod") -> Node:
    key = ObjectKey(namespace="n", name=name)
    return Node(resource=PODS, key=key, uid=name, owners=owners, finalizers=finalizers, is_deleting=is_deleting)


HELD = pod(ref("a"))
HERE = owner("a", is_deleting=False)
GOING = owner("b", FOREGROUND)
MIDDLE = owner("m", owners=(ref("b"),), is_deleting=False)
CIRCLE = owner("m", owners=(ref("b"),), is_deleting=False)


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        pytest.param((HERE, HELD), (), id="a living owner keeps its dependent"),
        pytest.param((HELD,), (Collect(node=HELD, propagation=Propagation.BACKGROUND),), id="without an owner it goes"),
        pytest.param((pod(),), (), id="what never had an owner stays"),
        pytest.param((pod(ref("x", is_known=False)),), (), id="an owner of an unknown kind is not judged"),
        pytest.param((pod(ref("a"), is_deleting=True),), (), id="what goes already is left alone"),
        pytest.param((owner("a"), HELD), (), id="an owner that is only marked still keeps"),
        pytest.param(
            (owner("a", FOREGROUND), HELD),
            (Collect(node=HELD, propagation=Propagation.BACKGROUND),),
            id="a dependent of a waiting owner goes",
        ),
        pytest.param((GOING,), (Release(node=GOING, finalizer=FOREGROUND),), id="an owner with nothing left goes"),
        pytest.param(
            (GOING, pod(ref("b", blocks=False), is_deleting=True)),
            (Release(node=GOING, finalizer=FOREGROUND),),
            id="a dependent that does not block is not waited for",
        ),
        pytest.param((GOING, pod(ref("b"), is_deleting=True)), (), id="one that blocks is waited for to its end"),
        pytest.param(
            (GOING, MIDDLE, pod(ref("m"))),
            (Collect(node=MIDDLE, propagation=Propagation.FOREGROUND),),
            id="a waiting owner takes a middle one in the foreground",
        ),
        pytest.param(
            (GOING, MIDDLE),
            (Collect(node=MIDDLE, propagation=Propagation.BACKGROUND),),
            id="a middle one without dependents goes at once",
        ),
        pytest.param(
            (pod(ref("a"), finalizers=(ORPHAN,)),),
            (Collect(node=pod(ref("a"), finalizers=(ORPHAN,)), propagation=Propagation.ORPHAN),),
            id="its own finalizer says how it goes",
        ),
        pytest.param(
            (owner("a", ORPHAN), HELD),
            (DropOwners(node=HELD, uids=frozenset({"a"})),),
            id="an owner that orphans has its references removed",
        ),
        pytest.param(
            (owner("a", ORPHAN),), (Release(node=owner("a", ORPHAN), finalizer=ORPHAN),), id="and then it goes"
        ),
        pytest.param(
            (HERE, GOING, pod(ref("a"), ref("b"), ref("gone"))),
            (
                DropOwners(
                    node=pod(ref("a"), ref("b"), ref("gone")),
                    uids=frozenset({"b", "gone"}),
                    dangling=frozenset({"gone"}),
                ),
            ),
            id="a kept dependent loses its other owners, so that they need not wait",
        ),
    ],
)
def test_the_collector_decides(nodes: tuple[Node, ...], expected: tuple[Candidate, ...]) -> None:
    found = candidates_of(nodes)
    assert (
        tuple(candidate for candidate in found if candidate.node in nodes and not _is_about_others(candidate, expected))
        == expected
    )


def _is_about_others(candidate: Candidate, expected: tuple[Candidate, ...]) -> bool:
    """Whether an candidate is the owners' own part in a case that is about a dependent."""
    return isinstance(candidate, Release) and not any(isinstance(each, Release) for each in expected)


def test_a_circle_of_foreground_deletions_is_unblocked() -> None:
    circle = owner("m", owners=(ref("b"),), is_deleting=False)
    back = owner("b", FOREGROUND, owners=(ref("m"),))
    found = candidates_of((back, circle))
    assert Unblock(node=circle) in found
    assert Collect(node=circle, propagation=Propagation.FOREGROUND) in found


def test_an_owner_in_another_namespace_is_none() -> None:
    elsewhere = Node(resource=RAY_CLUSTERS, key=ObjectKey(namespace="other", name="a"), uid="a")
    assert candidates_of((elsewhere, HELD)) == (Collect(node=HELD, propagation=Propagation.BACKGROUND),)


def test_an_owner_of_another_kind_with_the_same_uid_is_none() -> None:
    other = Node(resource=REPLICA_SETS, key=ObjectKey(namespace="n", name="a"), uid="a")
    assert candidates_of((other, HELD)) == (Collect(node=HELD, propagation=Propagation.BACKGROUND),)


def manifest(**meta: object) -> Json:
    return {"metadata": {"name": "x", "namespace": "n", "uid": "u", **meta}}


@pytest.mark.parametrize(
    ("old", "new", "is_work"),
    [
        (None, manifest(), False),
        (None, manifest(ownerReferences=[{}]), True),
        (manifest(), None, True),
        (manifest(resourceVersion="1"), manifest(resourceVersion="2"), False),
        (manifest(), manifest(deletionTimestamp="now"), True),
        (manifest(finalizers=["a"]), manifest(), True),
    ],
)
def test_only_changes_of_the_graph_wake_the_collector(
    old: ReadOnlyJson | None, new: ReadOnlyJson | None, is_work: bool
) -> None:
    assert changes_the_graph(old, new) is is_work


def test_any_version_of_a_group_is_the_same_owner() -> None:
    entry = {"apiVersion": "ray.io/v1alpha1", "kind": "RayCluster", "name": "a", "uid": "a", "blockOwnerDeletion": True}
    assert node_of(PODS, manifest(ownerReferences=[entry])).owners == (ref("a"),)
    unknown = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "d"}
    assert node_of(PODS, manifest(ownerReferences=[unknown])).owners[0].resource is None
