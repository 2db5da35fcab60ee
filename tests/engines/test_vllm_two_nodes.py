"""Real vLLM over two nodes, by real Ray and without it: it answers, is built again after a death, and leaves nothing.

From the manifest of an example to an answer by the gateway.
"""

from pathlib import Path

import pytest
from tests.engines.replicas import (
    OFF_AFTER_DEATH_SECONDS,
    WITH_RAY,
    WITHOUT_RAY,
    answers,
    check_evidence,
    check_recovery,
    kill,
    losing,
    served_replica,
)

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]


@pytest.mark.parametrize("example", [WITH_RAY, WITHOUT_RAY])
def test_one_model_over_two_nodes_answers_and_survives_the_death_of_an_idle_rank(tmp_path: Path, example: str) -> None:
    with served_replica(tmp_path / "state", example) as replica:
        assert answers(replica)
        with losing(replica, lambda: kill(replica.rank_process(1))) as loss:
            check_recovery(replica, loss, OFF_AFTER_DEATH_SECONDS)
            check_evidence(loss)
