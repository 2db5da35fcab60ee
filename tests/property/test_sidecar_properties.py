"""Whatever happens and in whatever order, ready means what it says (rayfleet_sidecar.readiness)."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from rayfleet_sidecar.readiness import Answer, Observation, Reason, first_judgement, judged, with_generation

T0 = datetime(2026, 1, 1, tzinfo=UTC)
observations = st.one_of(
    st.builds(
        Observation,
        answer=st.sampled_from(Answer),
        said=st.sampled_from(["", "Loading model"]),
        alive_nodes=st.sampled_from([None, 0, 1, 2, 3]),
    ),
    st.builds(Observation, answer=st.sampled_from(Answer), are_nodes_late=st.just(True)),
)
# Text is the end of a one-token generation: empty when a token came.
steps = st.lists(st.one_of(observations, st.sampled_from(["", "status 500"])), max_size=30)


@given(steps=steps, expected=st.sampled_from([0, 2]))
def test_ready_means_well_now_and_a_token_since_the_last_breach(steps: list[Observation | str], expected: int) -> None:
    judgement, is_well, has_token, was_late = first_judgement(T0), False, False, False
    for index, step in enumerate(steps, 1):
        now, before = T0 + timedelta(seconds=index), judgement
        if isinstance(step, str):
            judgement = with_generation(judgement, step, now)
            has_token = has_token or (is_well and not step)
        else:
            judgement = judged(judgement, step, expected, now)
            is_late, is_forgivable = _lateness(step, expected)
            if not (is_well and has_token and is_forgivable and not was_late):
                is_well = step.answer is Answer.OK and (not expected or step.alive_nodes == expected)
            has_token, was_late = has_token and is_well, is_late
        assert judgement.is_ready == (is_well and has_token)
        assert judgement.message
        assert judgement.since == (before.since if judgement.reason is before.reason else now)
        assert judgement.wants_token == (is_well and not has_token)


def _lateness(step: Observation, expected: int) -> tuple[bool, bool]:
    """Return whether a question got no answer in time, and whether nothing worse is known."""
    is_late = step.answer is Answer.LATE or (step.answer is Answer.OK and bool(expected) and step.are_nodes_late)
    return is_late, is_late and (not expected or step.alive_nodes in {None, expected})


@given(steps=steps, expected=st.sampled_from([0, 2]))
def test_an_engine_that_stays_well_becomes_ready_by_its_next_token(
    steps: list[Observation | str], expected: int
) -> None:
    judgement = first_judgement(T0)
    for step in steps:
        if isinstance(step, str):
            judgement = with_generation(judgement, step, T0)
        else:
            judgement = judged(judgement, step, expected, T0)
    well = Observation(answer=Answer.OK, alive_nodes=2)
    judgement = with_generation(judged(judgement, well, expected, T0), "", T0)
    assert judgement.reason is Reason.READY
