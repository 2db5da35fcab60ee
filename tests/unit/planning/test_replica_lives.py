"""What is lost of lives: of those that were noted, and of those that nobody noted."""

import pytest

from rayfleet.model.json import Json
from rayfleet.objects.pods import incarnation_text
from rayfleet.objects.times import encode_time
from rayfleet.planning.replica_set.lives import Loss, loss_after, loss_since
from rayfleet.testing.planner_world import START as READY
from rayfleet.testing.ray_pods import head_pod, later, worker_pod
from rayfleet.testing.stored_objects import with_metadata

BEFORE, AFTER = later(READY, -30), later(READY, 5)
HEAD, WORKER, OTHER_WORKER = (
    head_pod("a", since=BEFORE),
    worker_pod("a", 0, since=BEFORE),
    worker_pod("a", 1, since=BEFORE),
)
HEAD_AGAIN, WORKER_AGAIN = head_pod("a", since=AFTER, restarts=1), worker_pod("a", 0, since=AFTER, restarts=1)
ANOTHER_HEAD = with_metadata(HEAD_AGAIN, {"creationTimestamp": encode_time(AFTER)})
STARTING = with_metadata(head_pod("a", since=BEFORE), {"creationTimestamp": encode_time(AFTER)})
STARTING["status"].pop("containerStatuses")
LATE_HEAD = with_metadata(HEAD_AGAIN, {"creationTimestamp": encode_time(later(AFTER, 9)), "uid": "late"})
LATE_WORKER = worker_pod("a", 0, since=later(AFTER, 12), restarts=2)


@pytest.mark.parametrize(
    ("pods", "loss"),
    [
        ((HEAD, WORKER, OTHER_WORKER), Loss.NOTHING),
        ((HEAD, WORKER), Loss.WORKERS),
        ((HEAD, WORKER_AGAIN, OTHER_WORKER), Loss.WORKERS),
        ((HEAD_AGAIN, WORKER, OTHER_WORKER), Loss.HEAD_CONTAINER),
        ((ANOTHER_HEAD, WORKER, OTHER_WORKER), Loss.HEAD_POD),
        ((STARTING, WORKER, OTHER_WORKER), Loss.HEAD_POD),
        ((WORKER, OTHER_WORKER), Loss.HEAD_POD),
        ((HEAD_AGAIN, WORKER_AGAIN), Loss.EVERYTHING),
        ((LATE_HEAD, WORKER_AGAIN), Loss.HEAD_POD),
        ((LATE_HEAD, LATE_WORKER), Loss.EVERYTHING),
        ((WORKER_AGAIN,), Loss.HEAD_POD),
    ],
)
def test_what_began_after_all_were_ready_is_no_life_that_was_ready(pods: tuple[Json, ...], loss: Loss) -> None:
    assert loss_after(READY, 2, pods) is loss


@pytest.mark.parametrize(
    ("pods", "loss"),
    [
        ((HEAD_AGAIN, WORKER_AGAIN), Loss.EVERYTHING),
        ((LATE_HEAD, WORKER_AGAIN), Loss.HEAD_POD),
        ((LATE_HEAD, LATE_WORKER), Loss.EVERYTHING),
        ((WORKER_AGAIN,), Loss.HEAD_POD),
    ],
)
def test_workers_that_began_before_the_head_pod_was_made_belong_to_another(pods: tuple[Json, ...], loss: Loss) -> None:
    """Whoever is hurt again before it was noted as ready: its worker's life is a new one, and dead all the same."""
    assert loss_since(incarnation_text((HEAD, WORKER)), pods) is loss


def test_a_container_that_has_ended_is_no_loss_before_it_begins_again() -> None:
    ended = head_pod("a", since=BEFORE, ready=False)
    ended["status"]["containerStatuses"][0]["state"] = {"terminated": {"exitCode": 137}}
    assert loss_after(READY, 1, (ended, WORKER)) is Loss.NOTHING
