"""Steps of a rollout, revisions, what blocks and what to do (rayfleet.cli)."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rayfleet.cli.advice import ADVICE, blockers
from rayfleet.cli.history import history_rows, revision_in_full, revisions
from rayfleet.cli.rollout_steps import rollout_step
from rayfleet.manifest.fleet import decode_fleet_status
from rayfleet.manifest.replica_set import decode_replica_set
from rayfleet.model.fleet import ReplicaSet
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TIME = "2026-01-01T00:00:00Z"


def condition(name: str, status: str, reason: str = "", message: str = "") -> Json:
    return {"type": name, "status": status, "reason": reason, "message": message, "lastTransitionTime": TIME}


def fleet(*, conditions: tuple[Json, ...] = (), states: tuple[Json, ...] = (), **status: Any) -> Json:
    return {
        "metadata": {"name": "toy", "namespace": "team", "generation": 2},
        "spec": {"replicas": 3},
        "status": {"observedGeneration": 2, "conditions": list(conditions), "replicaStates": list(states), **status},
    }


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"updatedReplicas": 1, "replicas": 4}, "1 out of 3 new replicas have been updated"),
        ({"updatedReplicas": 3, "replicas": 4}, "1 old replicas are pending termination"),
        ({"updatedReplicas": 3, "replicas": 3, "availableReplicas": 2}, "2 of 3 updated replicas are available"),
    ],
)
def test_a_rollout_that_goes_on_says_what_is_missing(counts: dict[str, Any], words: str) -> None:
    step = rollout_step(fleet(**counts))
    assert step.message == f'Waiting for fleet "toy" rollout to finish: {words}...'
    assert (step.is_done, step.is_failed) == (False, False)


def test_a_rollout_is_over_when_all_are_updated_and_available_and_no_other_is_left() -> None:
    step = rollout_step(fleet(updatedReplicas=3, replicas=3, availableReplicas=3))
    assert step.is_done
    assert step.message == 'fleet "toy" successfully rolled out'


def test_a_status_of_an_older_spec_says_nothing_of_the_new_one() -> None:
    old = fleet(updatedReplicas=3, replicas=3, availableReplicas=3)
    old["metadata"]["generation"] = 3
    assert "to be observed" in rollout_step(old).message
    assert not rollout_step(old).is_done


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        (condition("Progressing", "False", "ProgressDeadlineExceeded", "timed out"), "exceeded its progress deadline"),
        (condition("Invalid", "True", "InvalidSpec", "spec.replicas: no"), "its spec is refused: spec.replicas: no"),
        (condition("RolledBack", "True", "RolledBack", "to 1"), "it was rolled back: to 1"),
    ],
)
def test_a_rollout_that_failed_says_so_also_when_the_counts_are_right(stated: Json, words: str) -> None:
    step = rollout_step(fleet(conditions=(stated,), updatedReplicas=3, replicas=3, availableReplicas=3))
    assert step.is_failed
    assert words in step.message
    assert step.blockers[0].advice


def test_a_refused_create_is_no_failure_yet() -> None:
    stated = condition("Progressing", "False", "ReplicaSetCreateError", "quota")
    step = rollout_step(fleet(conditions=(stated,), updatedReplicas=0, replicas=0))
    assert not step.is_failed
    assert str(step.blockers[0]) == "fleet toy: ReplicaSetCreateError: quota"


def test_a_paused_rollout_says_how_it_goes_on() -> None:
    paused = fleet(updatedReplicas=1, replicas=3)
    paused["spec"]["paused"] = True
    assert "`rayfleet rollout resume rcf/toy`" in rollout_step(paused).message


def test_a_rollout_that_warms_nodes_up_says_so() -> None:
    stated = condition("Progressing", "True", "WarmingUp", "Bringing images and weights to n1.")
    step = rollout_step(fleet(conditions=(stated,), updatedReplicas=0, replicas=3))
    assert step.message.endswith("updated... Bringing images and weights to n1.")
    assert step.blockers == ()


def test_an_image_that_no_node_can_have_blocks_though_nothing_failed_yet() -> None:
    stated = condition("Progressing", "True", "WarmUpBlocked", "No replica is cut: pod p, ErrImagePull: no/such:1")
    step = rollout_step(fleet(conditions=(stated,), updatedReplicas=0, replicas=3))
    assert not step.is_failed
    assert "image's name" in step.blockers[0].advice


def state(phase: str, reason: str = "", **more: str) -> Json:
    return {"name": "toy-1", "uid": "u", "phase": phase, "reason": reason, "since": TIME, **more}


def test_what_blocks_names_pod_container_and_advice() -> None:
    stuck = state("Broken", "CrashLoopBackOff", pod="p", container="ray-head", message="exit code 1: no such model")
    calm = (state("Ready"), state("Scheduling", "NotScheduledYet"), state("Terminating", "Deleted"))
    (blocker,) = rollout_step(fleet(states=(stuck, *calm))).blockers
    assert str(blocker) == "pod p, container ray-head: CrashLoopBackOff: exit code 1: no such model"
    assert blocker.advice == "`rayfleet logs pod/p -c ray-head --previous -n team` shows its last words."


def test_a_rollback_is_not_advised_to_be_undone() -> None:
    stated = condition("RolledBack", "True", "ProgressDeadlineExceeded", "back to 1")
    (blocker,) = rollout_step(fleet(conditions=(stated,))).blockers
    assert "rollout history" in blocker.advice


@pytest.mark.parametrize("phase", ["Broken", "Failed"])
def test_a_broken_replica_blocks_for_any_reason(phase: str) -> None:
    (blocker,) = rollout_step(fleet(states=(state(phase, "SomethingNew"),))).blockers
    assert blocker.subject == "replica toy-1"
    assert "`" in blocker.advice


def test_advice_fits_every_place_that_it_may_be_given_at() -> None:
    for reason in ADVICE:
        states = [state("Broken", reason), state("Broken", reason, pod="p"), state("Failed", reason)]
        stated = {"conditions": [condition("Progressing", "False", reason, "words")], "replicaStates": states}
        advised = [
            each.advice for each in blockers(ObjectKey(namespace="default", name="toy"), decode_fleet_status(stated))
        ]
        assert len(advised) == 4
        for advice in advised:
            assert not re.search(r"[{}]|pod/[` ]|-c (--|`)|rcf/[` ]", advice), f"{reason}: {advice}"


def replica_set(number: int, **annotations: str) -> ReplicaSet:
    named: dict[str, Any] = {"deployment.kubernetes.io/revision": str(number), **annotations}
    head = {"template": {"spec": {"containers": [{"name": "ray-head", "image": f"ray:{number}"}]}}}
    return decode_replica_set(
        {
            "apiVersion": "orchestration.aibrix.ai/v1alpha1",
            "kind": "RayClusterReplicaSet",
            "metadata": {"name": f"toy-{number}", "namespace": "team", "annotations": named, "creationTimestamp": TIME},
            "spec": {
                "replicas": number,
                "selector": {"matchLabels": {"model.aibrix.ai/name": "smol"}},
                "template": {
                    "metadata": {"labels": {"model.aibrix.ai/name": "smol"}},
                    "spec": {"headGroupSpec": {"rayStartParams": {}, **head}},
                },
            },
            "status": {"readyReplicas": 1},
        }
    )


def test_the_history_is_a_row_for_each_revision_oldest_first() -> None:
    kept = revisions([replica_set(10), replica_set(9, **{"kubernetes.io/change-cause": "why"})])
    head, first, last = history_rows(kept, NOW + timedelta(hours=3))
    assert head == ["REVISION", "CURRENT", "REPLICAS", "READY", "MODEL", "IMAGE", "AGE", "CHANGE-CAUSE"]
    assert first == ["9", "", "9", "1", "smol", "ray:9", "3h", "why"]
    assert last == ["10", "*", "10", "1", "smol", "ray:10", "3h", "<none>"]


def test_a_revision_in_full_has_the_short_form_that_it_was_made_from() -> None:
    note = {"orchestration.aibrix.ai/serving": '{"engine":"llamacpp"}', "kubernetes.io/change-cause": "why"}
    shown = revision_in_full(revisions([replica_set(1, **note)])[0])
    assert (shown["revision"], shown["changeCause"], shown["serving"]) == (1, "why", {"engine": "llamacpp"})
    assert shown["template"]["spec"]["headGroupSpec"]
    assert "serving" not in revision_in_full(revisions([replica_set(1)])[0])
