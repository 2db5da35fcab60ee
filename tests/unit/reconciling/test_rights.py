"""Words for refused writes: what a Role lacks is named, also where the server does not."""

import pytest

from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import FLEETS, RAY_CLUSTERS, REPLICA_SETS
from rayfleet.objects.owners import controller_reference
from rayfleet.planning.writes import Action, Create, CreateTogether, Delete, Merge, ObjectRef
from rayfleet.reconciling.rights import refusal_words

GUARD = (
    "a is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers"
    " on: , <nil>"
)
OWNED = "a is forbidden: cannot set an ownerRef on a resource you can't delete: , <nil>"
REF = ObjectRef(key=ObjectKey(namespace="n", name="a"), uid="u")
OF_FLEET: Json = {"metadata": {"name": "a", "ownerReferences": [controller_reference(FLEETS, "f", "u")]}}
OF_SET: Json = {"metadata": {"name": "a", "ownerReferences": [controller_reference(REPLICA_SETS, "s", "u")]}}


@pytest.mark.parametrize(
    ("action", "message", "right"),
    [
        (Create(resource=REPLICA_SETS, manifest=OF_FLEET), GUARD, 'update resource "rayclusterfleets/finalizers"'),
        (
            CreateTogether(resource=RAY_CLUSTERS, manifests=(OF_SET,)),
            GUARD,
            'update resource "rayclusterreplicasets/finalizers"',
        ),
        (
            Merge(resource=RAY_CLUSTERS, ref=REF, patch=OF_SET),
            GUARD,
            'update resource "rayclusterreplicasets/finalizers"',
        ),
        (Merge(resource=RAY_CLUSTERS, ref=REF, patch=OF_SET), OWNED, 'delete resource "rayclusters"'),
    ],
)
def test_what_guards_owners_is_told_with_the_right_that_it_asks_for(action: Action, message: str, right: str) -> None:
    words = refusal_words(action, message)
    assert words.startswith(f"{message}; cannot {right} in API group ")


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (Create(resource=REPLICA_SETS, manifest=OF_FLEET), 'User "x" cannot create resource "rayclusterreplicasets"'),
        (Create(resource=REPLICA_SETS, manifest=OF_FLEET), "exceeded quota: tight"),
        (Create(resource=REPLICA_SETS, manifest={"metadata": {"name": "a"}}), GUARD),
        (Delete(resource=REPLICA_SETS, ref=REF), GUARD),
    ],
)
def test_other_words_are_the_servers(action: Action, message: str) -> None:
    assert refusal_words(action, message) == message
