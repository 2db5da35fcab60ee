"""What is lost of lives that nobody noted: by when all pods were ready first."""

import pytest

from rayfleet.model.json import Json
from rayfleet.objects.times import encode_time
from rayfleet.planning.replica_set.lives import Loss, loss_after
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
    ],
)
def test_what_began_after_all_were_ready_is_no_life_that_was_ready(pods: tuple[Json, ...], loss: Loss) -> None:
    assert loss_after(READY, 2, pods) is loss


def test_a_container_that_has_ended_is_no_loss_before_it_begins_again() -> None:
    ended = head_pod("a", since=BEFORE, ready=False)
    ended["status"]["containerStatuses"][0]["state"] = {"terminated": {"exitCode": 137}}
    assert loss_after(READY, 1, (ended, WORKER)) is Loss.NOTHING
