"""What is waited for, and whose events are told (rayfleet.cli)."""

from typing import Any

import pytest

from rayfleet.cli.family import family_of
from rayfleet.cli.wait_for import parse_wish
from rayfleet.model.errors import WrongUse
from rayfleet.model.json import Json
from rayfleet.objects.events import EventFacts


def fleet(status: str = "True", *, observed: int = 2, **more: Any) -> Json:
    condition = {"type": "Available", "status": status, "reason": "R", "message": "m", **more}
    return {
        "metadata": {"generation": 2},
        "status": {"conditions": [condition], "observedGeneration": observed, "readyReplicas": 3, "ok": True},
    }


@pytest.mark.parametrize(
    ("text", "state", "holds"),
    [
        ("condition=Available", fleet(), True),
        ("condition=available=true", fleet(), True),
        ("condition=Available", fleet("False"), False),
        ("condition=Available=False", fleet("False"), True),
        ("condition=Available=Unknown", fleet("Unknown"), True),
        ("condition=Other", fleet(), False),
        ("condition=Available", None, False),
        ("condition=Available", fleet(observed=1), False),
        ("condition=Available", fleet(observedGeneration=1), False),
        ("condition=Available", fleet(observed=1, observedGeneration=2), True),
        ("jsonpath={.status.readyReplicas}=3", fleet(), True),
        ("jsonpath='{.status.readyReplicas}'=4", fleet(), False),
        ("jsonpath={.status.ok}=true", fleet(), True),
        ("jsonpath={.status.readyReplicas}", fleet(), True),
        ("jsonpath={.status.other}", fleet(), False),
        ('jsonpath={.status.conditions[?(@.type=="Available")].status}=True', fleet(), True),
        ("delete", None, True),
        ("delete", fleet(), False),
        ("create", None, False),
        ("create", fleet(), True),
    ],
)
def test_a_wish_holds_or_not(text: str, state: Json | None, holds: bool) -> None:
    assert parse_wish(text).holds(state) is holds


@pytest.mark.parametrize(
    "text", ["", "condition", "condition=", "ready", "delete=now", "jsonpath=", "jsonpath={.a[}=1"]
)
def test_what_is_no_wish_is_a_wrong_use(text: str) -> None:
    with pytest.raises(WrongUse, match="--for"):
        parse_wish(text)


@pytest.mark.parametrize(
    ("text", "state", "words"),
    [
        ("condition=Available", fleet("False"), "Available is False, R: m"),
        ("condition=Other", fleet(), "it has no condition Other (it has Available)"),
        ("jsonpath={.status.readyReplicas}=4", fleet(), "it is 3"),
        ("delete", fleet(), "it is still there"),
        ("create", None, "it is not there"),
    ],
)
def test_a_wish_that_does_not_hold_says_what_is_so_instead(text: str, state: Json | None, words: str) -> None:
    assert parse_wish(text).shown(state) == words


def thing(kind: str, name: str, owner: str = "") -> Json:
    owners = [{"kind": "K", "name": owner, "uid": f"uid-{owner}", "controller": True}] if owner else []
    return {"kind": kind, "metadata": {"name": name, "uid": f"uid-{name}", "ownerReferences": owners}}


def event(kind: str, name: str, uid: str = "", namespace: str = "here") -> EventFacts:
    return EventFacts(
        namespace=namespace, type="", reason="", message="", kind=kind, name=name, uid=uid, count=1, last_seen=None
    )


FAMILY = family_of(
    thing("RayClusterFleet", "toy"),
    "here",
    [
        thing("Pod", "odd-name", "toy-5d8-x"),
        thing("RayCluster", "toy-5d8-x", "toy-5d8"),
        thing("RayClusterReplicaSet", "toy-5d8", "toy"),
        thing("RayClusterReplicaSet", "toy-b-77", "toy-b"),
    ],
)


@pytest.mark.parametrize(
    ("told", "belongs"),
    [
        (event("RayClusterFleet", "toy", "uid-toy"), True),
        (event("Pod", "odd-name", "uid-odd-name"), True),
        (event("RayClusterReplicaSet", "toy-5d8", "uid-toy-5d8"), True),
        (event("RayCluster", "toy-5d8-gone", "uid-gone"), True),
        (event("Pod", "toy-5d8-gone-head", "uid-gone"), True),
        (event("Pod", "toy-b-77-x-head", "uid-other"), False),
        (event("RayClusterFleet", "toy", "uid-of-its-predecessor"), False),
        (event("ConfigMap", "toy-5d8-x", "uid-other"), False),
        (event("RayClusterFleet", "toy", "uid-toy", namespace="there"), False),
    ],
)
def test_a_family_is_what_a_fleet_owns_and_owned(told: EventFacts, belongs: bool) -> None:
    assert FAMILY.has(told) is belongs
