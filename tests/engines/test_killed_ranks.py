"""Every rank of real vLLM dies or freezes, idle and under load: traffic off in time, one rebuild, the answer, evidence.

One fleet of each plan lives through all of it, so each rebuild is the next one's start.
"""

import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from tests.e2e.clients import Stream, streaming
from tests.engines.replicas import (
    OFF_AFTER_DEATH_SECONDS,
    OFF_AFTER_FREEZE_SECONDS,
    WITH_RAY,
    WITHOUT_RAY,
    Replica,
    check_evidence,
    check_recovery,
    freeze,
    kill,
    losing,
    served_replica,
    shown_logs,
)

from rayfleet.testing.waiting import wait_until

pytestmark = [pytest.mark.engines, pytest.mark.full, pytest.mark.timeout(900)]
STREAMS, TOKENS = 2, 1500  # they last until the freeze
SHORT = 200


@pytest.fixture(scope="module", params=[WITH_RAY, WITHOUT_RAY])
def replica(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    with served_replica(tmp_path_factory.mktemp("state"), request.param) as made:
        yield made


DEATHS: dict[str, Callable[[Replica], int]] = {
    "the head's rank": lambda replica: replica.rank_process(0),
    "the head's node": lambda replica: replica.node_process(0),
    "the worker's rank": lambda replica: replica.rank_process(1),
    "the worker's node": lambda replica: replica.node_process(1),
}


@pytest.mark.parametrize("which", DEATHS)
def test_a_dead_rank_of_an_idle_replica_is_noticed(replica: Replica, which: str) -> None:
    with shown_logs(replica.machine), losing(replica, partial(kill, DEATHS[which](replica))) as loss:
        check_recovery(replica, loss, OFF_AFTER_DEATH_SECONDS)
        check_evidence(loss, is_replaced_whole=which == "the worker's node")


def test_a_frozen_rank_of_an_idle_replica_is_noticed(replica: Replica) -> None:
    with shown_logs(replica.machine), losing(replica, partial(freeze, replica.rank_process(1))) as loss:
        check_recovery(replica, loss, OFF_AFTER_FREEZE_SECONDS)


def test_a_frozen_rank_under_load_is_noticed(replica: Replica) -> None:
    rank = replica.rank_process(1)
    with (
        shown_logs(replica.machine),
        streaming(replica.machine, STREAMS, TOKENS, lambda: True) as streams,
        losing(replica, partial(freeze, rank)) as loss,
    ):
        wait_until(lambda: loss.off_after() < float("inf"), "traffic is off", 60)
        streams.stop()
        check_recovery(replica, loss, OFF_AFTER_FREEZE_SECONDS)
    assert len(streams.broken) == len(streams.made), "what a dead engine had begun has ended, and not well"


def test_a_pod_that_is_deleted_finishes_its_stream(replica: Replica) -> None:
    machine, name = replica.machine, replica.head()["metadata"]["name"]
    stream = Stream(machine, SHORT)
    reader = threading.Thread(target=stream.run)
    reader.start()
    assert stream.has_begun.wait(60)
    delete = partial(machine.kubectl, "delete", "pod", name, "--wait=false")
    with shown_logs(machine), losing(replica, delete, is_judged=False) as loss:
        wait_until(lambda: loss.off_after() < float("inf"), "traffic is off", 60)
        reader.join(120)
        assert stream.end == "[DONE]"
        check_recovery(replica, loss, OFF_AFTER_DEATH_SECONDS)
