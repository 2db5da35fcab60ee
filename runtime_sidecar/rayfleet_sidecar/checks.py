"""Every check of an engine by itself, each with its reason and since when: what ``/status`` shows. Pure.

``/ready`` names the one cause that lies deepest; here stands each, whatever the others say.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from rayfleet_sidecar.observation import Answer, Observation, ReadinessRules
from rayfleet_sidecar.readiness import Judgement, Reason

PASSED = "Passed"
NOT_LOOKED_AT = "NotLookedAt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check. ``is_passed`` is None when it cannot be told; ``since`` is when that or the reason last changed."""

    name: str
    is_passed: bool | None
    reason: str
    message: str
    since: datetime


def checks_after(
    before: Sequence[Check], judgement: Judgement, seen: Observation, rules: ReadinessRules, now: datetime
) -> tuple[Check, ...]:
    """Return the checks after a look, always the same ones in the same order."""
    old = {check.name: check for check in before}
    looks = (
        ("RayNodes", _nodes(seen, rules)),
        ("Health", _health(judgement, seen)),
        ("Generation", _generation(judgement)),
        ("Progress", _progress(seen, rules)),
    )
    checks = []
    for name, (is_passed, reason, message) in looks:
        was = old.get(name)
        is_same = was is not None and (was.is_passed, was.reason) == (is_passed, reason)
        since = was.since if was is not None and is_same else now
        checks.append(Check(name=name, is_passed=is_passed, reason=reason, message=message, since=since))
    return tuple(checks)


def failed(checks: Sequence[Check]) -> Iterator[Check]:
    """Yield the checks that are known to have failed."""
    return (check for check in checks if check.is_passed is False)


_Look = tuple[bool | None, str, str]


def _nodes(seen: Observation, rules: ReadinessRules) -> _Look:
    if not rules.expected_nodes:
        return None, NOT_LOOKED_AT, "no Ray nodes are expected"
    if seen.alive_nodes is None:
        late = " in time" if seen.are_nodes_late else ""
        return None, Reason.RAY_NODES_UNKNOWN, f"Ray's view of its nodes cannot be had{late}"
    named = f"alive: {', '.join(seen.names) or 'none'}"
    dead = f"; dead: {', '.join(seen.dead_names)}" if seen.dead_names else ""
    is_whole = seen.alive_nodes == rules.expected_nodes
    reason = PASSED if is_whole else Reason.RAY_NODES_MISSING
    return is_whole, reason, f"{seen.alive_nodes}/{rules.expected_nodes} Ray nodes ({named}{dead})"


def _health(judgement: Judgement, seen: Observation) -> _Look:
    match seen.answer:
        case Answer.OK:
            return True, PASSED, "the engine says that it is well"
        case Answer.UNWELL:
            reason = Reason.ENGINE_FAILING if judgement.was_ready else Reason.ENGINE_LOADING
        case _:
            reason = Reason.ENGINE_UNREACHABLE if judgement.has_answered else Reason.ENGINE_STARTING
    return False, reason, seen.detail or "no answer"


def _generation(judgement: Judgement) -> _Look:
    if judgement.reason in {Reason.GENERATION_FAILED, Reason.CANARY_MISSED}:
        return False, judgement.reason, judgement.message
    if judgement.is_proved:
        count = f"; {judgement.failed_canaries} failed since" if judgement.failed_canaries else ""
        return True, PASSED, f"a token came{count}"
    return None, Reason.WARMING, "no token has come since the engine was last lost"


def _progress(seen: Observation, rules: ReadinessRules) -> _Look:
    if seen.read_at is None or not rules.stall_after:
        return None, NOT_LOOKED_AT, "the engine's metrics have not told of its requests"
    if seen.stalled_for >= rules.stall_after:
        return False, Reason.ENGINE_STALLED, "requests are running, and the engine takes no step"
    return True, PASSED, "no request is stuck"
