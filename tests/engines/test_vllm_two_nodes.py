"""Real vLLM over two nodes, by Ray and without: it answers, and every rank dies or freezes, idle and under load.

Traffic is off in time, there is one rebuild, it answers again, evidence is kept and nothing is left. One fleet of each
plan lives through all of it, so each rebuild is the next one's start. What is replaced whole comes between the others:
a kubelet's back-off grows with each end of the same container, and a new pod has none.
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
    answers,
    check_evidence,
    check_recovery,
    freeze,
    kill,
    losing,
    served_replica,
    shown_logs,
)

from rayfleet.testing.waiting import wait_until

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]
STREAMS, TOKENS = 2, 1500  # they last until the freeze
SHORT = 200


@pytest.fixture(scope="module", params=[WITH_RAY, WITHOUT_RAY])
def replica(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    with served_replica(tmp_path_factory.mktemp("state"), request.param) as made:
        yield made


def test_one_model_over_two_nodes_answers(replica: Replica) -> None:
    with shown_logs(replica.machine):
        assert answers(replica)


def test_a_dead_rank_of_an_idle_replica_is_noticed(replica: Replica) -> None:
    check_death(replica, replica.rank_process(1))


@pytest.mark.full
def test_a_dead_head_of_an_idle_replica_is_noticed(replica: Replica) -> None:
    """Of its node: the raylet; by ``mp`` the engine's first process."""
    check_death(replica, replica.node_process(0))


@pytest.mark.full
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


@pytest.mark.full
def test_a_frozen_rank_of_an_idle_replica_is_noticed(replica: Replica) -> None:
    with shown_logs(replica.machine), losing(replica, partial(freeze, replica.rank_process(1))) as loss:
        check_recovery(replica, loss, OFF_AFTER_FREEZE_SECONDS)
        check_evidence(loss)


@pytest.mark.full
def test_a_dead_worker_of_an_idle_replica_is_noticed(replica: Replica) -> None:
    check_death(replica, replica.node_process(1), is_replaced_whole=True)


@pytest.mark.full
def test_a_dead_rank_of_an_idle_head_is_noticed(replica: Replica) -> None:
    check_death(replica, replica.rank_process(0))


@pytest.mark.full
@pytest.mark.parametrize(
    ("rank", "hurt", "limit"),
    [
        (1, kill, OFF_AFTER_DEATH_SECONDS),
        (1, freeze, OFF_AFTER_FREEZE_SECONDS),
        (0, kill, OFF_AFTER_DEATH_SECONDS),
    ],
    ids=["dead", "frozen", "the heads"],
)
def test_a_rank_that_is_lost_under_load_is_noticed(
    replica: Replica, rank: int, hurt: Callable[[int], None], limit: float
) -> None:
    process = replica.rank_process(rank)
    with (
        shown_logs(replica.machine),
        streaming(replica.machine, STREAMS, TOKENS, lambda: True) as streams,
        losing(replica, partial(hurt, process)) as loss,
    ):
        wait_until(lambda: loss.off_after() < float("inf"), "traffic is off", 60)
        streams.stop()
        check_recovery(replica, loss, limit)
        check_evidence(loss)
    assert len(streams.broken) == len(streams.made), "what a dead engine had begun has ended, and not well"


def check_death(replica: Replica, pid: int, *, is_replaced_whole: bool = False) -> None:
    with shown_logs(replica.machine), losing(replica, partial(kill, pid)) as loss:
        check_recovery(replica, loss, OFF_AFTER_DEATH_SECONDS)
        check_evidence(loss, is_replaced_whole=is_replaced_whole)
