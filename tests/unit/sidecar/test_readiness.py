"""When an engine is ready (rayfleet_sidecar.readiness)."""

from datetime import UTC, datetime, timedelta

import pytest

from rayfleet_sidecar.readiness import Answer, Judgement, Observation, Reason, first_judgement, judged, with_generation

T0 = datetime(2026, 1, 1, tzinfo=UTC)
WELL = Observation(answer=Answer.OK, alive_nodes=2)
GONE = Observation(answer=Answer.NONE, said="refused")
UNWELL = Observation(answer=Answer.UNWELL, said="Loading model")
LATE = Observation(answer=Answer.LATE, said="no answer within 1 s", alive_nodes=2)
NODES_LATE = Observation(answer=Answer.OK, are_nodes_late=True)


def _after(*steps: Observation | str, expected: int = 2) -> Judgement:
    """Return the judgement after observations and generations ("" = a token came, text = failed), a second apart."""
    judgement = first_judgement(T0)
    for index, step in enumerate(steps, 1):
        now = T0 + timedelta(seconds=index)
        if isinstance(step, str):
            judgement = with_generation(judgement, step, now)
        else:
            judgement = judged(judgement, step, expected, now)
    return judgement


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ((), Reason.ENGINE_STARTING),
        ((GONE,), Reason.ENGINE_STARTING),
        ((UNWELL,), Reason.ENGINE_LOADING),
        ((UNWELL, GONE), Reason.ENGINE_UNREACHABLE),
        ((WELL,), Reason.WARMING),
        ((WELL, ""), Reason.READY),
        ((WELL, "", WELL), Reason.READY),
        ((WELL, "status 500"), Reason.GENERATION_FAILED),
        ((WELL, "status 500", WELL), Reason.GENERATION_FAILED),
        ((WELL, "status 500", ""), Reason.READY),
        ((WELL, "", UNWELL), Reason.ENGINE_FAILING),
        ((WELL, "", GONE), Reason.ENGINE_UNREACHABLE),
        ((Observation(answer=Answer.OK, alive_nodes=1),), Reason.RAY_NODES_MISSING),
        ((Observation(answer=Answer.OK, alive_nodes=3),), Reason.RAY_NODES_MISSING),
        ((Observation(answer=Answer.OK, alive_nodes=None),), Reason.RAY_NODES_UNKNOWN),
        ((WELL, "", Observation(answer=Answer.OK, alive_nodes=1)), Reason.RAY_NODES_MISSING),
        ((Observation(answer=Answer.NONE, alive_nodes=1),), Reason.RAY_NODES_MISSING),
        ((WELL, "", Observation(answer=Answer.UNWELL, alive_nodes=1)), Reason.RAY_NODES_MISSING),
        ((WELL, "", GONE, UNWELL), Reason.ENGINE_LOADING),
        ((WELL, "", UNWELL, UNWELL), Reason.ENGINE_FAILING),
        ((LATE,), Reason.ENGINE_STARTING),
        ((WELL, LATE), Reason.ENGINE_UNREACHABLE),
        ((WELL, "", LATE), Reason.READY),
        ((WELL, "", LATE, WELL, LATE), Reason.READY),
        ((WELL, "", LATE, LATE), Reason.ENGINE_UNREACHABLE),
        ((WELL, "", LATE, GONE), Reason.ENGINE_UNREACHABLE),
        ((WELL, "", NODES_LATE), Reason.READY),
        ((WELL, "", NODES_LATE, NODES_LATE), Reason.RAY_NODES_UNKNOWN),
        ((WELL, "", LATE, NODES_LATE), Reason.RAY_NODES_UNKNOWN),
        ((WELL, "", Observation(answer=Answer.LATE, alive_nodes=1)), Reason.RAY_NODES_MISSING),
        ((WELL, "", Observation(answer=Answer.UNWELL, are_nodes_late=True)), Reason.ENGINE_FAILING),
    ],
)
def test_each_observation_has_one_reason(steps: tuple[Observation | str, ...], reason: Reason) -> None:
    assert _after(*steps).reason is reason


@pytest.mark.parametrize("breach", [UNWELL, GONE, Observation(answer=Answer.OK, alive_nodes=1)])
def test_after_a_breach_a_token_has_to_come_again(breach: Observation) -> None:
    assert _after(WELL, "", breach, WELL).reason is Reason.WARMING
    assert _after(WELL, "", breach, WELL, "").is_ready


def test_a_token_that_comes_after_the_engine_became_unwell_proves_nothing() -> None:
    assert not _after(WELL, UNWELL, "", WELL).is_ready


def test_an_engine_that_is_not_on_ray_has_no_nodes_to_wait_for() -> None:
    assert _after(Observation(answer=Answer.OK), "", expected=0).is_ready


def test_since_moves_only_with_the_reason() -> None:
    assert _after(WELL, "", WELL, WELL).since == T0 + timedelta(seconds=2)


def test_the_message_says_what_the_engine_said() -> None:
    assert _after(UNWELL).message == "the engine is loading: Loading model"
    assert _after(Observation(answer=Answer.OK, alive_nodes=1)).message == "1/2 Ray nodes are alive"
