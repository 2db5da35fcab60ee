"""Nothing that runs is cut: long streams and short questions while replicas are evicted, rolled over and scaled away.

Twenty streams at once are under way whenever a replica goes, which each test holds; the short questions never rest.
While a new replica starts no stream follows one that has ended: two cores are for the start then. They begin anew once
it is ready, some seconds before the next one goes, and some go on to begin when that is out of its Service.
RAYFLEET_SHORT_REQUESTS=20000 goes on rolling over, without streams, until that many questions were answered.
The tests are told in this order: the eviction and the rollout without surge need two replicas, what follows has one.
"""

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from tests.e2e.clients import asking, streaming
from tests.e2e.fleets import (
    CLUSTER,
    FLEET,
    LOOK_SECONDS,
    head_pods,
    ready_endpoints,
    ready_replicas,
    serving_fleet,
    told,
    watched,
    worker_of,
)

from rayfleet.objects.labels import DRAINING_ANNOTATION, WARM_UP_LABEL
from rayfleet.objects.meta import annotation, is_terminating, label
from rayfleet.objects.pods import is_ready
from rayfleet.testing.machine import Machine
from rayfleet.testing.waiting import wait_until

STREAMS = 20
LEAVING_SECONDS = 3  # who routes has learned by then that a replica left
TOKENS = 40  # of a stream: twenty at once on two idle cores take some ten seconds
MIN_READY_SECONDS = 5  # from ready to available: twenty streams are asked for in that time
SHORT_REQUESTS = int(os.environ.get("RAYFLEET_SHORT_REQUESTS", "60"))
ROLLOUTS = 3
IS_LONG = SHORT_REQUESTS >= 1000
CLIENTS, PAUSE_SECONDS = (16, 0.02) if IS_LONG else (2, 0.2)
SURGE = {"maxSurge": 1, "maxUnavailable": 0}
NO_SURGE = {"maxSurge": 0, "maxUnavailable": 1}
LIMIT_SECONDS = 400
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2 * LIMIT_SECONDS + 100 + SHORT_REQUESTS / 5)]
Events = Sequence[dict[str, Any]]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    # Twenty places for streams on each replica, and servers that give way to all else on the machine.
    arguments = ["--parallel-requests", "10", "--context-tokens", "4096"]
    serving = {"args": arguments, "env": {"RAY_worker_niceness": "10"}}
    state = tmp_path_factory.mktemp("state")
    spec = {"drain": {"timeoutSeconds": 600}, "minReadySeconds": MIN_READY_SECONDS}
    with serving_fleet(state, "drain", serving=serving, **spec) as machine:
        yield machine


def test_an_evicted_worker_breaks_no_stream_and_fails_no_request(fleet: Machine) -> None:
    worker = worker_of(fleet, head_pods(fleet)[0])
    uid = worker["metadata"]["uid"]

    def is_gone() -> bool:
        return uid not in {pod["metadata"]["uid"] for pod in fleet.get("pods")["items"]}

    def evict(_: int) -> None:
        fleet.kubectl("delete", "pod", worker["metadata"]["name"], "--wait=false")

    with asking(fleet) as client:
        _stream_while(fleet, evict, is_gone, 1)
    assert client.failures == []
    _wait_for_replicas(fleet, 2)


def test_a_rollout_without_surge_breaks_no_stream_and_fails_no_request(fleet: Machine) -> None:
    _roll(fleet, lambda number: _change_template(fleet, "no-surge", number, NO_SURGE))


def test_a_scale_down_breaks_no_stream_and_fails_no_request(fleet: Machine) -> None:
    def is_alone() -> bool:
        return len(head_pods(fleet)) == 1 and len(ready_endpoints(fleet)) == 1

    with asking(fleet) as client:
        _stream_while(fleet, lambda _: fleet.kubectl("scale", FLEET, "--replicas=1"), is_alone, 1)
    assert client.failures == []
    _wait_for_replicas(fleet, 1)


def test_a_rollout_with_surge_breaks_no_stream_and_fails_no_request(fleet: Machine) -> None:
    _roll(fleet, lambda number: _change_template(fleet, "surge", number, SURGE))


def test_an_undo_breaks_no_stream_and_fails_no_request(fleet: Machine) -> None:
    def undo(_: int) -> None:
        done = fleet.rayfleet("rollout", "undo", FLEET)
        assert done.returncode == 0, done.stderr

    _roll(fleet, undo)


def _change_template(fleet: Machine, name: str, number: int, bounds: dict[str, int]) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": bounds}
    spec = {"strategy": strategy, "serving": {"env": {"ROLLOUT": f"{name}-{number}"}}}
    fleet.kubectl("patch", FLEET, "--type=merge", "-p", json.dumps({"spec": spec}))


def _roll(fleet: Machine, change: Callable[[int], object]) -> None:
    """Change the template while streams and questions are under way; again without streams until enough are answered.

    ``change`` is given the number of the rollout.
    """
    before: set[str] = set()

    def begin(number: int) -> None:
        before.clear()
        before.update(pod["metadata"]["uid"] for pod in head_pods(fleet))
        change(number)

    def is_rolled() -> bool:
        of_fleet = fleet.get(FLEET)
        counts = {of_fleet["status"].get(name) for name in ("updatedReplicas", "availableReplicas")}
        return counts == {of_fleet["spec"]["replicas"]} and not before & {
            pod["metadata"]["uid"] for pod in head_pods(fleet)
        }

    with asking(fleet, CLIENTS, pause_seconds=PAUSE_SECONDS) as client:
        _stream_while(fleet, begin, is_rolled, len(head_pods(fleet)))
        for number in itertools.count(1):
            if client.answers >= SHORT_REQUESTS / ROLLOUTS or client.failures:
                break
            begin(number)
            wait_until(is_rolled, "every replica is of the new template", LIMIT_SECONDS, every=LOOK_SECONDS)
    assert client.failures == []


def _stream_while(fleet: Machine, change: Callable[[int], object], is_done: Callable[[], bool], leaving: int) -> None:
    """Change the fleet while streams are under way, until it is done; none breaks, twenty see each replica go.

    ``leaving`` replicas are to go; what left before is waited for, so that it is not counted.
    """
    wait_until(lambda: not _leaving(fleet), "what left before is gone", LIMIT_SECONDS, every=LOOK_SECONDS)
    with (
        told(fleet),
        watched(fleet, "pods") as pods,
        streaming(fleet, STREAMS, TOKENS, lambda: _is_time(pods, leaving)) as streams,
    ):
        change(0)
        wait_until(is_done, "it is done", LIMIT_SECONDS, every=LOOK_SECONDS)
    assert streams.broken == []
    assert [at for at in _left_at(pods) if streams.under_way(at) < STREAMS] == []
    assert len(_left_at(pods)) == leaving


def _leaving(fleet: Machine) -> list[str]:
    return [pod["metadata"]["name"] for pod in fleet.get("pods")["items"] if is_terminating(pod)]


def _is_time(events: Events, leaving: int) -> bool:
    """Whether a replica goes: one has just left its Service, or one is to, and all pods that stay are ready."""
    so_far = list(events)
    left = _left_at(so_far)
    if left and time.monotonic() < left[-1] + LEAVING_SECONDS:
        return True
    of_replicas = [event for event in so_far if not label(event["object"], WARM_UP_LABEL)]
    latest = {event["object"]["metadata"]["uid"]: event for event in of_replicas}
    pods = [event["object"] for event in latest.values() if event["type"] != "DELETED"]
    return len(left) < leaving and all(is_ready(pod) for pod in pods if not is_terminating(pod))


def _left_at(events: Events) -> list[float]:
    """Return when each replica that went was first seen on its way: its head out of the Service, or a pod deleted."""
    seen: dict[str, float] = {}
    for event in events:
        pod = event["object"]
        if label(pod, WARM_UP_LABEL):
            continue
        if annotation(pod, DRAINING_ANNOTATION) or is_terminating(pod):
            seen.setdefault(pod["metadata"]["labels"][CLUSTER], event["at"])
    return list(seen.values())


def _wait_for_replicas(fleet: Machine, number: int) -> None:
    wait_until(
        lambda: ready_replicas(fleet) == number and len(ready_endpoints(fleet)) == number,
        f"{number} replicas are ready",
        180,
        every=LOOK_SECONDS,
    )
