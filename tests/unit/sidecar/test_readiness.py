"""When an engine is ready, and when it is asked for a token (rayfleet_sidecar.readiness)."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from rayfleet_sidecar.observation import Answer, Observation, ReadinessRules
from rayfleet_sidecar.readiness import (
    STALLED,
    TRANSITIONS,
    Judgement,
    Moment,
    Reason,
    TokenAction,
    first_judgement,
    judged,
    next_token_action,
    verdict_of,
    with_generation,
    with_token_action,
)

T0 = datetime(2026, 1, 1, tzinfo=UTC)
TWO_NODES = ReadinessRules(expected_nodes=2, canary_every=timedelta())
WELL = Observation(answer=Answer.OK, alive_nodes=2)
GONE = Observation(answer=Answer.NONE, detail="refused")
UNWELL = Observation(answer=Answer.UNWELL, detail="Loading model")
LATE = Observation(answer=Answer.LATE, detail="no answer within 1 s", alive_nodes=2)
NODES_LATE = Observation(answer=Answer.OK, are_nodes_late=True)
NODE_LOST = Observation(answer=Answer.OK, alive_nodes=1)
STALLED_REQUESTS = replace(WELL, stalled_for=timedelta(seconds=120))
WITH_CANARIES = replace(TWO_NODES, canary_every=timedelta(seconds=3))
IDLE = replace(WELL, read_at=timedelta(hours=1))
THREE_FAILURES = replace(WELL, failures=3)
STEP_SECONDS = 2.0  # longer than any refusal is held


def _at(seconds: float) -> Moment:
    return Moment(date=T0 + timedelta(seconds=seconds), steady=timedelta(hours=1, seconds=seconds))


def _looked(
    before: Judgement, observation: Observation, seconds: float, rules: ReadinessRules = TWO_NODES
) -> tuple[Judgement, TokenAction]:
    """Return what a look leaves and what it makes the judge do."""
    judgement = judged(before, observation, rules, _at(seconds))
    action = next_token_action(judgement, rules, _at(seconds))
    return with_token_action(judgement, action, _at(seconds)), action


def _after(*steps: Observation | str, rules: ReadinessRules = TWO_NODES) -> Judgement:
    """Return the judgement after looks and ends of generations ("" = a token came, text = failed).

    They are two seconds apart; a generation that nobody asked for ends unheard.
    """
    judgement = first_judgement(_at(0))
    for index, step in enumerate(steps, 1):
        seconds = index * STEP_SECONDS
        if isinstance(step, str):
            judgement = with_generation(judgement, step, _at(seconds))
        else:
            judgement, _ = _looked(judgement, step, seconds, rules)
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
        ((WELL, "status 500", WELL, ""), Reason.READY),
        ((WELL, "", UNWELL), Reason.ENGINE_FAILING),
        ((WELL, "", GONE), Reason.ENGINE_UNREACHABLE),
        ((NODE_LOST,), Reason.RAY_NODES_MISSING),
        ((Observation(answer=Answer.OK, alive_nodes=3),), Reason.RAY_NODES_MISSING),
        ((Observation(answer=Answer.OK, alive_nodes=None),), Reason.RAY_NODES_UNKNOWN),
        ((WELL, "", NODE_LOST), Reason.RAY_NODES_MISSING),
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


@pytest.mark.parametrize("breach", [UNWELL, GONE, NODE_LOST])
def test_after_a_breach_a_token_has_to_come_again(breach: Observation) -> None:
    assert _after(WELL, "", breach, WELL).reason is Reason.WARMING
    assert _after(WELL, "", breach, WELL, "").is_ready


def test_a_token_that_comes_after_the_engine_became_unwell_proves_nothing() -> None:
    assert not _after(WELL, UNWELL, "", WELL).is_ready


def test_a_token_that_comes_before_the_judge_drops_its_question_proves_nothing_either() -> None:
    unwell = judged(_after(WELL), UNWELL, TWO_NODES, _at(3))
    ended = with_generation(unwell, "", _at(3))
    assert (ended.reason, ended.is_asked) == (Reason.ENGINE_LOADING, False)


def test_an_engine_that_is_not_on_ray_has_no_nodes_to_wait_for() -> None:
    assert _after(Observation(answer=Answer.OK), "", rules=ReadinessRules()).is_ready


def test_since_moves_only_with_the_reason() -> None:
    assert _after(WELL, "", WELL, WELL).since == T0 + timedelta(seconds=2 * STEP_SECONDS)


def test_the_message_says_what_the_engine_said() -> None:
    assert _after(UNWELL).message == "the engine is loading: Loading model"
    assert _after(NODE_LOST).message == "1/2 Ray nodes are alive"


# What a look at a well or an unwell engine makes the judge do: (steps two seconds apart, the look, seconds after the
# last of the steps, action).
TOKEN_ACTIONS: list[tuple[tuple[Observation | str, ...], Observation, float, TokenAction]] = [
    ((), WELL, 0.4, TokenAction.ASK),
    ((GONE,), WELL, 0.4, TokenAction.ASK),
    ((), GONE, 0.4, TokenAction.WAIT),
    ((WELL,), WELL, 0.4, TokenAction.WAIT),  # it is under way
    ((WELL,), WELL, 100, TokenAction.WAIT),  # its limit is its own
    ((WELL,), UNWELL, 0.4, TokenAction.DROP),
    ((WELL,), LATE, 0.4, TokenAction.DROP),  # one late answer is forgiven to a ready engine alone
    ((WELL,), NODE_LOST, 0.4, TokenAction.DROP),
    ((WELL, UNWELL), UNWELL, 0.4, TokenAction.WAIT),  # it was dropped
    ((WELL, UNWELL), WELL, 0.4, TokenAction.ASK),  # it was never ready: no refusal to hold
    ((WELL, ""), WELL, 0.4, TokenAction.WAIT),
    ((WELL, ""), LATE, 0.4, TokenAction.WAIT),
    ((WELL, "", UNWELL), WELL, 0.4, TokenAction.WAIT),  # held
    ((WELL, "", UNWELL), WELL, 1.499, TokenAction.WAIT),
    ((WELL, "", UNWELL), WELL, 1.5, TokenAction.ASK),
    ((WELL, "", UNWELL, UNWELL), WELL, 0.4, TokenAction.ASK),  # held since it was lost, not since it was unwell last
    ((WELL, "status 500"), WELL, 0.4, TokenAction.WAIT),
    ((WELL, "status 500"), WELL, 0.999, TokenAction.WAIT),
    ((WELL, "status 500"), WELL, 1, TokenAction.ASK),
    ((WELL, "status 500", WELL, "status 500"), WELL, 0.999, TokenAction.WAIT),  # since the newest failure
]


@pytest.mark.parametrize(("steps", "observation", "seconds", "action"), TOKEN_ACTIONS)
def test_a_token_is_asked_for_and_its_question_dropped_exactly_then(
    steps: tuple[Observation | str, ...], observation: Observation, seconds: float, action: TokenAction
) -> None:
    _, carried_out = _looked(_after(*steps), observation, len(steps) * STEP_SECONDS + seconds)
    assert carried_out is action


def test_a_failure_just_past_is_forgotten_with_its_reason() -> None:
    judgement, failed = _after(WELL, "status 500"), 2 * STEP_SECONDS
    judgement, _ = _looked(judgement, UNWELL, failed + 0.1)
    _, action = _looked(judgement, WELL, failed + 0.2)
    assert action is TokenAction.ASK


def test_a_judge_that_stands_still_longer_than_its_word_counts_is_not_ready_and_says_so() -> None:
    ready = _after(WELL, "", WELL)
    looked = 3 * STEP_SECONDS
    assert verdict_of(ready, TWO_NODES, _at(looked + 2)).is_ready
    verdict = verdict_of(ready, TWO_NODES, _at(looked + 2.001))
    assert (verdict.is_ready, verdict.reason, verdict.since) == (False, STALLED, ready.since)


def test_only_looks_keep_a_judgement_fresh() -> None:
    token_ended = with_generation(_after(WELL), "", _at(STEP_SECONDS + 3))
    assert verdict_of(token_ended, TWO_NODES, _at(STEP_SECONDS + 3)).reason == STALLED


def test_a_verdict_tells_the_judgement() -> None:
    judgement = _after(NODE_LOST)
    verdict = verdict_of(judgement, TWO_NODES, _at(STEP_SECONDS))
    assert (verdict.is_ready, verdict.reason, verdict.message, verdict.since) == (
        False,
        "RayNodesMissing",
        "1/2 Ray nodes are alive",
        judgement.since,
    )


def test_a_ready_engine_whose_requests_do_not_get_on_is_not_ready_and_says_so() -> None:
    assert _after(WELL, "", replace(WELL, stalled_for=timedelta(seconds=119.9))).is_ready
    judgement = _after(WELL, "", STALLED_REQUESTS)
    assert (judgement.reason, judgement.is_ready) == (Reason.ENGINE_STALLED, False)
    assert judgement.message == "requests are running, and the engine has taken no step for 120 s"


def test_a_stall_lasts_as_long_as_it_is_seen_and_its_end_wants_a_token() -> None:
    assert _after(WELL, "", STALLED_REQUESTS, STALLED_REQUESTS).reason is Reason.ENGINE_STALLED
    assert _after(WELL, "", STALLED_REQUESTS, WELL).reason is Reason.WARMING
    assert _after(WELL, "", STALLED_REQUESTS, WELL, "").is_ready


def test_a_first_token_that_takes_long_is_no_stall() -> None:
    assert _after(WELL, STALLED_REQUESTS).reason is Reason.WARMING


def test_no_stall_is_seen_when_none_is_looked_for() -> None:
    rules = replace(TWO_NODES, stall_after=timedelta())
    assert _after(WELL, "", replace(WELL, stalled_for=timedelta(days=1)), rules=rules).is_ready


def test_an_engine_that_fails_its_clients_stays_ready_until_a_token_fails_too() -> None:
    suspect, action = _looked(_after(WELL, ""), THREE_FAILURES, 6)
    assert (suspect.is_ready, action) == (True, TokenAction.ASK)
    failed = with_generation(suspect, "status 500", _at(7))
    assert (failed.reason, failed.lost_at) == (Reason.GENERATION_FAILED, _at(7).steady)
    assert not judged(failed, THREE_FAILURES, TWO_NODES, _at(8)).is_ready


def test_two_failures_are_no_suspicion() -> None:
    assert _looked(_after(WELL, ""), replace(WELL, failures=2), 6)[1] is TokenAction.WAIT


def test_a_token_excuses_the_failures_before_it_and_no_later_ones() -> None:
    excused = _after(WELL, "", THREE_FAILURES, "")
    assert (excused.reason, excused.is_suspect) == (Reason.READY, False)
    assert _looked(excused, replace(WELL, failures=5), 10)[1] is TokenAction.WAIT
    assert _looked(excused, replace(WELL, failures=6), 10)[1] is TokenAction.ASK


def test_failures_that_are_counted_anew_are_excused_no_longer() -> None:
    anew = judged(_after(WELL, "", THREE_FAILURES, ""), WELL, TWO_NODES, _at(9))
    assert _looked(anew, THREE_FAILURES, 10)[1] is TokenAction.ASK


def test_a_clock_on_the_wall_that_jumps_moves_no_refusal() -> None:
    lost = judged(_after(WELL, ""), UNWELL, TWO_NODES, _at(10))
    well = judged(lost, WELL, TWO_NODES, _at(11))
    jumped = replace(_at(11), date=T0 + timedelta(days=1))
    assert next_token_action(well, TWO_NODES, jumped) is TokenAction.WAIT


def test_the_table_has_every_step_that_can_happen_and_no_other() -> None:
    taken = {(before.reason, after.reason) for before, after in _every_step() if before.reason is not after.reason}
    assert taken == {(before, after) for before, reasons in TRANSITIONS.items() for after in reasons}


def _every_step() -> Iterator[tuple[Judgement, Judgement]]:
    """Yield every step from every judgement that any order of events leads to; times aside, they are few."""
    looks = [
        Observation(answer=answer, alive_nodes=alive, are_nodes_late=are_late)
        for answer in Answer
        for alive, are_late in ((None, False), (None, True), (1, False), (2, False))
    ] + [STALLED_REQUESTS, THREE_FAILURES, IDLE]
    known = {_timeless(first_judgement(_at(0)))}
    ahead = list(known)
    while ahead:
        before = ahead.pop()
        steps = [with_generation(before, failure, _at(0)) for failure in ("", "status 500")]
        for look in looks:
            judgement = judged(before, look, WITH_CANARIES, _at(0))
            action = next_token_action(judgement, WITH_CANARIES, _at(0))
            # Or it is held.
            steps += [with_token_action(judgement, each, _at(0)) for each in (action, TokenAction.WAIT)]
        for after in map(_timeless, steps):
            yield before, after
            if after not in known:
                known.add(after)
                ahead.append(after)


def _timeless(judgement: Judgement) -> Judgement:
    return replace(
        judgement,
        message="",
        since=T0,
        looked_at=timedelta(),
        lost_at=None,
        failed_at=None,
        late_looks=min(judgement.late_looks, TWO_NODES.forgiven_looks + 1),
        asked_at=timedelta(),
        proved_at=timedelta(),
        moved_at=timedelta(),
        read_at=min(judgement.read_at, timedelta()),
        failed_canaries=min(judgement.failed_canaries, TWO_NODES.forgiven_canaries + 1),
    )
