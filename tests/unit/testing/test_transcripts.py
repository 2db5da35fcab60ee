"""Transcripts of rollouts: every write is seen, a quiet round is seen as quiet, and mistakes name file and line."""

import pytest

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import FLEETS, REPLICA_SETS, SERVICES
from rayfleet.planning.plan import StatelessPlan
from rayfleet.planning.writes import Action, Delete, Event, Merge, ObjectRef, status_replaced
from rayfleet.testing.planner_world import Pass, Write
from rayfleet.testing.transcripts import TranscriptError, replayed
from rayfleet.testing.transcripts.lines import pass_lines

FLEET = ObjectRef(key=ObjectKey(namespace="default", name="fleet"), uid="uid-1")
SET = ObjectRef(key=ObjectKey(namespace="default", name="fleet-abc"), uid="uid-2")
TIMES = {"lastTransitionTime": "2026-01-02T03:04:05Z", "lastUpdateTime": "2026-01-02T03:04:05Z"}
PROGRESSING = {"type": "Progressing", "status": "True", "reason": "Made", "message": "m", **TIMES}

KINDS = "RayClusterFleet, RayClusterReplicaSet, RayCluster, Service, HTTPRoute"


def line(action: Action, before: ReadOnlyJson | None = None, problem: str = "") -> str:
    write = Write(action=action, before=before, problem=problem)
    [text] = pass_lines(Pass(writer="fleet", writes=(write,), events=(), plan=StatelessPlan(status=None)))
    return text.removeprefix("  fleet: ")


def status_line(before: Json, after: Json) -> str:
    return line(status_replaced(FLEETS, FLEET, after), {"status": before})


def test_a_transcript_that_was_played_is_played_the_same_again() -> None:
    first = replayed("# Prose stays.\n\ncreate replicas=2\n\nimage b\n----\nsomething old\n", "x.txt")
    assert "something old" not in first
    assert first.startswith("# Prose stays.\n\ncreate replicas=2\n----\nround 1\n")
    assert replayed(first, "x.txt") == first


def test_a_round_in_which_nobody_writes_is_quiet() -> None:
    text = replayed("create minReadySeconds=5\n", "x.txt")
    assert "rounds 3-5: quiet" in text
    assert "settled: Available 1/1, updated 1, available 1, terminating 0;" in text


def test_what_does_not_settle_is_said() -> None:
    assert "looks again in 7s: Progressing 0/1" in replayed("break image a\ncreate replicas=1\nrounds 4\n", "x.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("create\n\nimmage b\n", "x.txt:3: no such command: 'immage b'"),
        ("create\n\n# Prose.\nkill head of 2\n", "x.txt:4: there is no Ray cluster 2: there are 1"),
        ("create\n\nkill head of one\n", "x.txt:3: 'one' is no number"),
        ("create\n\nlose worker of 1\n", "x.txt:3: no such command: 'lose worker'"),
        ("create size=1\n", "x.txt:1: 'size=1' is no NAME=VALUE with a name of gpus, grace, image, "),
        ("create\n\ncreate\n", "x.txt:3: the fleet is there already"),
        ("image b\n", "x.txt:1: there is no fleet yet"),
        ("rounds 2\n", "x.txt:1: there is no fleet after this block"),
        (
            "create\n\nquota Node 1\n",
            "x.txt:3: 'Node' is none of RayClusterFleet, RayClusterReplicaSet, RayCluster, Pod, Service, HTTPRoute",
        ),
        ("create\n\nquota Service 0\nforeign Service x\n", "x.txt:4: exceeded quota: Service used 0, limited 0"),
        ("create\n\nremove Service other\n", "x.txt:3: there is no Service other"),
        ("create\n# Late.\n", "x.txt:2: prose stands before the commands of its block"),
    ],
)
def test_a_mistake_names_file_and_line(text: str, message: str) -> None:
    with pytest.raises(TranscriptError) as caught:
        replayed(text, "x.txt")
    assert str(caught.value).startswith(message)


def test_a_write_that_changes_nothing_is_seen() -> None:
    status: Json = {"replicas": 1, "conditions": [PROGRESSING]}
    assert status_line(status, status) == "status (nothing changes)"
    before = {"metadata": {"annotations": {"a": "1"}}}
    assert line(Merge(resource=FLEETS, ref=FLEET, patch=before), before) == "merge (nothing changes)"


def test_of_a_status_what_differs_is_shown() -> None:
    before: Json = {"replicas": 1, "readySince": {"uid": "1"}, "model": "m"}
    after: Json = {"replicas": 1, "readySince": {"uid": "2"}, "phase": "Idle", "ready": 0}
    assert status_line(before, after) == "status readySince(1) phase=Idle ready=0 model=none"
    assert status_line({}, {"replicas": 0, "phase": "Idle"}) == "status phase=Idle"


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"status": "False"}, "status Progressing=False/Made"),
        ({"reason": "Grown"}, "status Progressing=True/Grown"),
        ({"message": "n", "lastUpdateTime": "2026-01-02T03:04:06Z"}, "status Progressing(message, lastUpdateTime)"),
    ],
)
def test_of_a_condition_its_meaning_is_shown_else_the_names_of_what_changed(changed: Json, text: str) -> None:
    assert status_line({"conditions": [PROGRESSING]}, {"conditions": [{**PROGRESSING, **changed}]}) == text


def test_a_condition_that_comes_or_goes_is_shown() -> None:
    assert status_line({}, {"conditions": [PROGRESSING]}) == "status Progressing=True/Made"
    assert status_line({"conditions": [PROGRESSING]}, {"conditions": []}) == "status Progressing=gone"


def test_a_merge_shows_both_values() -> None:
    patch = {"spec": {"replicas": 3}, "metadata": {"annotations": {"deployment.kubernetes.io/revision": "2"}}}
    action = Merge(resource=REPLICA_SETS, ref=SET, patch=patch, event=Event(reason="Scaled", message="to 3"))
    before = {"spec": {"replicas": 2}}
    assert line(action, before) == (
        "scale RayClusterReplicaSet/fleet-abc replicas 2 -> 3, revision none -> 2 | Scaled: to 3"
    )


def test_lists_are_compared_entry_by_entry() -> None:
    before = {"spec": {"ports": [{"port": 1, "name": "a"}], "other": [1]}}
    patch = {"spec": {"ports": [{"port": 2, "name": "a"}], "other": [1, 2]}}
    text = line(Merge(resource=SERVICES, ref=SET, patch=patch), before)
    assert text == "merge Service/fleet-abc port 1 -> 2, other [1] -> [1,2]"


def test_a_write_that_was_not_taken_says_why_and_tells_no_event() -> None:
    action = Delete(resource=SERVICES, ref=SET, event=Event(reason="Deleted", message="gone"))
    assert line(action) == "delete Service/fleet-abc (background) | Deleted: gone"
    assert line(action, problem="no") == "delete Service/fleet-abc (background) | not done: no"
