"""Real llama.cpp with one model split over two nodes by its own RPC: it answers, and outlives the loss of a node."""

from functools import partial
from pathlib import Path

import pytest
from tests.engines.replicas import (
    BY_RPC,
    OFF_AFTER_DEATH_SECONDS,
    OFF_AFTER_FREEZE_SECONDS,
    answers,
    check_evidence,
    check_recovery,
    freeze,
    kill,
    losing,
    served_replica,
)

pytestmark = [pytest.mark.engines, pytest.mark.full, pytest.mark.timeout(900)]


def test_one_model_over_two_nodes_answers_and_survives_the_loss_of_each_server(state: Path) -> None:
    """``llama-server`` answers its health check while a server is frozen, and aborts when one is gone."""
    with served_replica(state, BY_RPC) as replica:
        assert answers(replica)
        for lose, limit in ((kill, OFF_AFTER_DEATH_SECONDS), (freeze, OFF_AFTER_FREEZE_SECONDS)):
            for rank in (0, 1):
                with losing(replica, partial(lose, replica.rank_process(rank))) as loss:
                    check_recovery(replica, loss, limit)
                check_evidence(loss)
