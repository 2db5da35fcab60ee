"""What the disruption controller's stand-in counts."""

from datetime import UTC, datetime, timedelta

import pytest

from rayfleet.local.upkeep.budgets import ObservedBudget, is_of_budget, plan_budget
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import DISRUPTION_BUDGETS
from rayfleet.objects.times import encode_time
from rayfleet.planning.writes import Replace

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LABELS = {"app": "a"}


def budget(status: ReadOnlyJson | None = None, **spec: object) -> Json:
    meta = {"name": "b", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 2}
    return {
        "metadata": meta,
        "spec": {"minAvailable": 2, "selector": {"matchLabels": LABELS}, **spec},
        "status": dict(status or {}),
    }


def pod(name: str, *, ready: str = "True", **meta: object) -> Json:
    return {
        "metadata": {"name": name, "namespace": "n", "labels": LABELS, **meta},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
    }


def seen(raw: ReadOnlyJson, pods: list[Json]) -> ObservedBudget:
    return ObservedBudget(budget=raw, pods=pods, expected=len(pods))


def written(pods: list[Json], before: ReadOnlyJson | None = None, **spec: object) -> ReadOnlyJson:
    [action] = plan_budget(seen(budget(before, **spec), pods), NOW).actions
    assert isinstance(action, Replace)
    assert (action.resource, action.ref.resource_version) == (DISRUPTION_BUDGETS, "7")
    return action.content


def counts(status: ReadOnlyJson) -> tuple[int, int, int, int]:
    names = ("expectedPods", "currentHealthy", "desiredHealthy", "disruptionsAllowed")
    expected, healthy, desired, allowed = (int(status[name]) for name in names)
    return expected, healthy, desired, allowed


@pytest.mark.parametrize(
    ("pods", "counted"),
    [
        ([pod("x"), pod("y"), pod("z")], (3, 3, 2, 1)),
        ([pod("x"), pod("y")], (2, 2, 2, 0)),
        ([pod("x"), pod("y"), pod("z", ready="False")], (3, 2, 2, 0)),
        ([pod("x"), pod("y"), pod("z", deletionTimestamp="2026-11-25T12:00:00Z")], (3, 2, 2, 0)),
        ([], (0, 0, 2, 0)),
    ],
    ids=["one may go", "none may", "one is not ready", "one goes", "no pods"],
)
def test_what_is_ready_and_stays_is_healthy(pods: list[Json], counted: tuple[int, int, int, int]) -> None:
    status = written(pods)
    assert counts(status) == counted
    [condition] = status["conditions"]
    assert (condition["status"], condition["reason"]) == (
        ("True", "SufficientPods") if counted[3] else ("False", "InsufficientPods")
    )
    assert status["observedGeneration"] == 2


def test_an_evicted_pod_counts_no_more_until_it_is_seen_to_go() -> None:
    evicted = {"disruptedPods": {"z": encode_time(NOW - timedelta(minutes=1))}}
    pods = [pod("x"), pod("y"), pod("z")]
    plan = plan_budget(seen(budget(evicted), pods), NOW)
    assert plan.requeue_after == timedelta(minutes=1)
    status = written(pods, evicted)
    assert counts(status) == (3, 2, 2, 0)
    assert status["disruptedPods"] == evicted["disruptedPods"]
    assert "disruptedPods" not in written(pods[:2], evicted)


def test_an_eviction_that_came_to_nothing_is_forgotten() -> None:
    old = {"disruptedPods": {"z": encode_time(NOW - timedelta(minutes=3))}}
    status = written([pod("x"), pod("y"), pod("z")], old)
    assert counts(status) == (3, 3, 2, 1)
    assert "disruptedPods" not in status


def test_the_second_plan_writes_nothing() -> None:
    pods = [pod("x"), pod("y"), pod("z")]
    first = written(pods)
    later = NOW + timedelta(minutes=5)
    assert plan_budget(seen(budget(first), pods), later).actions == ()


@pytest.mark.parametrize(
    ("bound", "counted"),
    [
        ({"minAvailable": "50%"}, (3, 3, 2, 1)),
        ({"minAvailable": None, "maxUnavailable": 1}, (3, 3, 2, 1)),
        ({"minAvailable": None, "maxUnavailable": "50%"}, (3, 3, 1, 2)),
        ({"minAvailable": None, "maxUnavailable": 9}, (3, 3, 0, 3)),
        ({"minAvailable": "100%"}, (3, 3, 3, 0)),
    ],
    ids=str,
)
def test_shares_are_of_what_is_expected(bound: dict[str, object], counted: tuple[int, int, int, int]) -> None:
    assert counts(written([pod("x"), pod("y"), pod("z")], None, **bound)) == counted


def test_where_nothing_is_expected_nothing_may_go() -> None:
    lone = ObservedBudget(budget=budget(minAvailable=None, maxUnavailable=1), pods=[pod("x")], expected=0)
    [action] = plan_budget(lone, NOW).actions
    assert isinstance(action, Replace)
    assert counts(action.content) == (0, 1, 0, 0)


def test_what_cannot_be_counted_lets_nothing_go_and_says_why() -> None:
    before = {"disruptionsAllowed": 1, "currentHealthy": 3, "desiredHealthy": 2, "expectedPods": 3}
    observed = ObservedBudget(budget=budget(before), pods=[pod("x")], expected=0, problem="no scale")
    [action] = plan_budget(observed, NOW).actions
    assert isinstance(action, Replace)
    assert counts(action.content) == (3, 3, 2, 0)
    assert "observedGeneration" not in action.content, "an eviction is told that it is still being processed"
    [condition] = action.content["conditions"]
    assert (condition["reason"], condition["message"]) == ("SyncFailed", "no scale")
    again = ObservedBudget(budget=budget(action.content), pods=[pod("x")], expected=0, problem="no scale")
    assert plan_budget(again, NOW + timedelta(minutes=5)).actions == ()


def test_a_budget_without_selector_is_of_no_pod() -> None:
    assert is_of_budget(budget(), pod("x"))
    assert is_of_budget(budget(selector={}), pod("x"))
    assert not is_of_budget(budget(selector=None), pod("x"))
    assert not is_of_budget(budget(selector={"matchLabels": {"app": "b"}}), pod("x"))
