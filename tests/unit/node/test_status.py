"""Container states to pod status, restarts, probes, and what a new node recalls: pure."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rayfleet.local.node.container_state import ContainerState
from rayfleet.local.node.lifecycle import ContainerPolicy, Rest, Start, next_step
from rayfleet.local.node.pod_status import pod_status
from rayfleet.local.node.probes import ProbeKind, ProbeState, after_result, probe_specs
from rayfleet.local.node.recalling import recalled_pod, recalled_view, status_entry
from rayfleet.local.node.restarts import ends_in_a_row, is_restarted, restart_backoff
from rayfleet.local.node.views import ContainerView, Ended, Fate, PodView, Running, Waiting
from rayfleet.local.proc import ProcessIdentity
from rayfleet.objects.containers import BACK_OFF

T0 = datetime(2026, 11, 1, 12, tzinfo=UTC)
T1 = T0 + timedelta(seconds=30)


def ended(code: int) -> Ended:
    return Ended(exit_code=code, reason="Completed" if code == 0 else "Error", started_at=T0, finished_at=T1)


WAITING = ContainerView(name="a", image="i")
RUNNING = replace(WAITING, state=Running(since=T0), is_started=True)
READY = replace(RUNNING, is_ready=True)
DONE, FAILED = replace(WAITING, state=ended(0)), replace(WAITING, state=ended(3))
CRASHING = replace(WAITING, state=Waiting(reason=BACK_OFF), last_ended=ended(1))


def view(*containers: ContainerView, init: tuple[ContainerView, ...] = (), policy: str = "Always") -> PodView:
    return PodView(
        address="127.77.0.2", started_at=T0, init_containers=init, containers=containers, restart_policy=policy
    )


def conditions(status: dict[str, Any]) -> dict[str, str]:
    return {each["type"]: each["status"] for each in status["conditions"]}


@pytest.mark.parametrize(
    ("pod", "phase"),
    [
        (view(WAITING), "Pending"),
        (view(RUNNING), "Running"),
        (view(RUNNING, WAITING), "Running"),
        (view(WAITING, init=(RUNNING,)), "Pending"),
        (view(WAITING, init=(FAILED,)), "Pending"),
        (view(WAITING, init=(FAILED,), policy="Never"), "Failed"),
        (view(READY, init=(DONE,)), "Running"),
        (view(DONE), "Running"),  # it will be started again
        (view(DONE, policy="Never"), "Succeeded"),
        (view(DONE, policy="OnFailure"), "Succeeded"),
        (view(FAILED, DONE, policy="Never"), "Failed"),
        (view(READY, FAILED, policy="Never"), "Running"),
        (view(FAILED, policy="OnFailure"), "Running"),  # so will this one, and "Failed" could not be taken back
        (view(CRASHING), "Running"),
    ],
)
def test_the_phase(pod: PodView, phase: str) -> None:
    assert pod_status(pod, (), T0)["phase"] == phase


def test_ready_means_every_container() -> None:
    assert conditions(pod_status(view(READY, READY), (), T0)) == dict.fromkeys(
        ("PodScheduled", "Initialized", "ContainersReady", "Ready"), "True"
    )
    status = pod_status(view(READY, RUNNING), (), T0)
    assert conditions(status)["Ready"] == conditions(status)["ContainersReady"] == "False"
    assert "['a']" in next(each["message"] for each in status["conditions"] if each["type"] == "Ready")


def test_a_pod_that_is_deleted_is_not_ready_though_its_containers_are() -> None:
    status = conditions(pod_status(replace(view(READY), fate=Fate.DELETED), (), T0))
    assert (status["ContainersReady"], status["Ready"]) == ("True", "False")


def test_a_transition_time_stays_until_the_condition_flips() -> None:
    first = pod_status(view(RUNNING), (), T0)["conditions"]
    second = pod_status(view(RUNNING), first, T1)["conditions"]
    assert second == first
    third = {each["type"]: each for each in pod_status(view(READY), second, T1)["conditions"]}
    assert third["Ready"]["lastTransitionTime"] == "2026-11-01T12:00:30Z"
    assert third["PodScheduled"]["lastTransitionTime"] == "2026-11-01T12:00:00Z"


def test_a_container_shows_exactly_one_state() -> None:
    for container, state in ((WAITING, "waiting"), (RUNNING, "running"), (FAILED, "terminated")):
        assert list(pod_status(view(container), (), T0)["containerStatuses"][0]["state"]) == [state]


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("Never", 0, False),
        ("Never", 1, False),
    ],
)
def test_the_restart_policy(policy: str, code: int, again: bool) -> None:
    assert is_restarted(policy, code) is again


def test_the_first_restart_is_immediate_then_the_pause_doubles_to_five_minutes() -> None:
    pauses = [restart_backoff(count).total_seconds() for count in range(1, 9)]
    assert pauses == [0, 10, 20, 40, 80, 160, 300, 300]
    assert restart_backoff(10_000) == timedelta(minutes=5)


def test_ten_quiet_minutes_forget_the_back_off() -> None:
    assert ends_in_a_row(6, timedelta(minutes=9)) == 7
    assert ends_in_a_row(6, timedelta(minutes=10)) == 1


def states(results: str, **raw: int) -> list[bool | None]:
    spec = probe_specs({"readinessProbe": {"tcpSocket": {"port": 1}, **raw}})[ProbeKind.READINESS]
    state, passing = ProbeState(), []
    for result in results:
        state = after_result(state, spec, result == "+")
        passing.append(state.is_passing)
    return passing


@pytest.mark.parametrize(
    ("results", "raw", "expected"),
    [
        ("+", {}, [True]),
        ("---", {}, [None, None, False]),
        ("+--+---", {}, [True, True, True, True, True, True, False]),
        ("+-", {"failureThreshold": 1}, [True, False]),
        ("-+-++", {"successThreshold": 2}, [None, None, None, None, True]),
    ],
)
def test_a_probe_flips_at_its_thresholds(results: str, raw: dict[str, int], expected: list[bool | None]) -> None:
    assert states(results, **raw) == expected


def test_probe_defaults_are_those_of_kubernetes() -> None:
    spec = probe_specs({"livenessProbe": {"exec": {"command": ["true"]}}})[ProbeKind.LIVENESS]
    seconds = [each.total_seconds() for each in (spec.initial_delay, spec.period, spec.timeout)]
    assert (*seconds, spec.success_threshold, spec.failure_threshold) == (0, 10, 1, 1, 3)


RAW = {"name": "a", "image": "i"}
STILL = ContainerState(process=ProcessIdentity(pid=7, start_ticks=1), restart_count=2, started_at=T0)


def recalled(
    container: ContainerView | None,
    running: ContainerState | None,
    policy: str = "Always",
    probes: frozenset[ProbeKind] = frozenset(),
) -> ContainerView:
    status = pod_status(view(container), (), T0) if container else {}
    rules = ContainerPolicy(restart=policy, probes=probes)
    return recalled_view(RAW, status_entry({"status": status}, "a"), running, rules, "u/a")


def next_of(container: ContainerView, policy: str = "Always") -> object:
    """Return the step when nothing of an earlier run is left."""
    return next_step(replace(container, is_clear=True), ContainerPolicy(restart=policy))


def test_a_new_pod_recalls_nothing() -> None:
    assert recalled(None, None) == WAITING
    assert next_of(WAITING) == Start(run=0)


def test_what_still_runs_goes_on_with_its_readiness() -> None:
    running = replace(READY, restart_count=2, container_id="rayfleet://u/a/2", last_ended=ended(1))
    assert recalled(running, STILL) == running


def test_the_readiness_of_an_earlier_run_is_not_that_of_this_one() -> None:
    earlier = replace(READY, restart_count=1, container_id="rayfleet://u/a/1")
    assert not recalled(earlier, STILL, probes=frozenset({ProbeKind.READINESS})).is_ready


@pytest.mark.parametrize(
    ("probes", "is_started", "is_ready"),
    [
        ((), True, True),
        ((ProbeKind.READINESS,), True, False),
        ((ProbeKind.STARTUP,), False, False),
    ],
)
def test_a_run_whose_start_the_status_never_heard_of_is_one_that_begins(
    probes: tuple[ProbeKind, ...], is_started: bool, is_ready: bool
) -> None:
    """The node was killed between the start and the status: nobody else will say that it is ready."""
    begun = recalled(None, STILL, probes=frozenset(probes))
    assert (begun.is_started, begun.is_ready) == (is_started, is_ready)
    assert (begun.restart_count, begun.container_id) == (2, "rayfleet://u/a/2")


@pytest.mark.parametrize("policy", ["Always", "OnFailure"])
def test_what_ran_and_is_gone_counts_as_a_restart(policy: str) -> None:
    gone = recalled(replace(READY, restart_count=4, container_id="c"), None, policy)
    assert next_of(gone, policy) == Start(run=5)
    assert gone.last_ended is not None
    assert (gone.last_ended.exit_code, gone.last_ended.reason) == (137, "ContainerStatusUnknown")


def test_what_ran_and_must_not_run_again_has_failed() -> None:
    gone = recalled(replace(READY, container_id="c"), None, "Never")
    assert isinstance(gone.state, Ended)
    assert gone.state.exit_code == 137
    assert next_of(gone, "Never") == Rest()


@pytest.mark.parametrize(("code", "policy"), [(0, "Never"), (3, "Never"), (0, "OnFailure")])
def test_what_ended_for_good_stays_ended(code: int, policy: str) -> None:
    over = recalled(replace(WAITING, state=ended(code), restart_count=1), None, policy)
    assert (over.state, over.restart_count) == (ended(code), 1)
    assert next_of(over, policy) == Rest()


def test_what_waited_for_its_next_start_starts() -> None:
    waiting = recalled(replace(CRASHING, restart_count=3), None)
    assert (waiting.state, waiting.last_ended) == (Waiting(), ended(1))
    assert next_of(waiting) == Start(run=4)


def recalled_names(pod: dict[str, Any], *running: str) -> list[tuple[str, bool]]:
    """Return each container's name and whether it is held to have succeeded."""
    spec = {"initContainers": [{"name": "init"}], "containers": [{"name": "main"}], **pod.get("spec", {})}
    states = dict.fromkeys(running, STILL)
    whole = {"metadata": {"uid": "u"}, **pod, "spec": spec}
    recalled = recalled_pod(whole, states, "127.77.0.2", T0)
    return [(container.name, container.has_succeeded) for container in recalled.everything]


DONE_STATUS = {"state": {"terminated": dict.fromkeys(("startedAt", "finishedAt"), "2026-11-01T12:00:00Z")}}


@pytest.mark.parametrize(
    ("running", "is_done"),
    [
        ((), False),  # nothing runs: the pod begins anew, init containers included
        (("init",), False),  # the init container goes on
        (("main",), True),  # it must have succeeded, whatever its status says
    ],
)
def test_init_containers_run_again_unless_the_pod_is_past_them(running: tuple[str, ...], is_done: bool) -> None:
    status = {"initContainerStatuses": [{"name": "init", **DONE_STATUS}]}
    assert recalled_names({"status": status}, *running) == [("init", is_done), ("main", False)]


def test_a_pod_that_has_run_to_its_end_is_past_its_init_containers() -> None:
    over = {"spec": {"restartPolicy": "Never"}, "status": {"containerStatuses": [{"name": "main", **DONE_STATUS}]}}
    assert recalled_names(over) == [("init", True), ("main", True)]


def test_an_init_container_that_succeeded_is_not_run_again_beside_one_that_runs() -> None:
    spec = {"initContainers": [{"name": "first"}, {"name": "second"}]}
    status = {"initContainerStatuses": [{"name": "first", **DONE_STATUS}]}
    assert recalled_names({"spec": spec, "status": status}, "second")[0] == ("first", True)


def test_a_pod_keeps_the_time_of_its_start() -> None:
    pod = {"metadata": {"uid": "u"}, "spec": {"containers": []}, "status": {"startTime": "2026-11-01T12:00:30Z"}}
    assert recalled_pod(pod, {}, "127.77.0.2", T0).started_at == T1
    assert recalled_pod({**pod, "status": {}}, {}, "127.77.0.2", T0).started_at == T0
