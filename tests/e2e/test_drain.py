"""Nothing that runs is cut: long streams and short questions while replicas are scaled away, rolled over and evicted.

Twenty streams at once keep every server of both replicas busy, whatever happens; the short questions go on beside them.
How many of these there are is the machine's doing; RAYFLEET_SHORT_REQUESTS=20000 goes on asking until it was as many.
The servers give way to all else on the machine, so that new replicas start while twenty streams run on two cores.
"""

import json
import os
from collections.abc import Iterator

import pytest
from tests.e2e.clients import asking, streaming
from tests.e2e.fleets import (
    FLEET,
    LOOK_SECONDS,
    head_pods,
    ready_endpoints,
    ready_replicas,
    serving_fleet,
    told,
    worker_of,
)

from rayfleet.testing.machine import Machine
from rayfleet.testing.waiting import wait_until

STREAMS = 20
TOKENS = 40  # of a stream: twenty at once on two idle cores take some ten seconds
SHORT_REQUESTS = int(os.environ.get("RAYFLEET_SHORT_REQUESTS", "60"))
CLIENTS = 2 if SHORT_REQUESTS < 1000 else 8
ROLLOUTS = {
    "surge": {"maxSurge": 1, "maxUnavailable": 0},
    "no-surge": {"maxSurge": 0, "maxUnavailable": 1},
}
LIMIT_SECONDS = 400 + SHORT_REQUESTS / 10
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2 * LIMIT_SECONDS + 100)]
ENVIRONMENT = {"RAY_worker_niceness": "10"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    arguments = ["--parallel-requests", "8", "--context-tokens", "4096"]
    serving = {"args": arguments, "env": ENVIRONMENT}
    state = tmp_path_factory.mktemp("state")
    with serving_fleet(state, "drain", serving=serving, drain={"timeoutSeconds": 600}) as machine:
        yield machine


def test_a_scale_down_breaks_no_stream(fleet: Machine) -> None:
    with told(fleet), streaming(fleet, STREAMS, TOKENS) as streams:
        fleet.kubectl("scale", FLEET, "--replicas=1")
        wait_until(lambda: len(head_pods(fleet)) == 1, "one replica is to go", 60, every=LOOK_SECONDS)
        wait_until(lambda: len(ready_endpoints(fleet)) == 1, "one endpoint", 60, every=LOOK_SECONDS)
    assert streams.broken == []
    fleet.kubectl("scale", FLEET, "--replicas=2")
    wait_until(
        lambda: ready_replicas(fleet) == 2 and len(ready_endpoints(fleet)) == 2,
        "two replicas again",
        120,
        every=LOOK_SECONDS,
    )


@pytest.mark.parametrize("rollout", ROLLOUTS)
def test_a_rollout_breaks_no_stream_and_fails_no_request(fleet: Machine, rollout: str) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": ROLLOUTS[rollout]}
    patch = {"spec": {"strategy": strategy, "serving": {"env": {"ROLLOUT": rollout}}}}
    _roll(fleet, "patch", FLEET, "--type=merge", "-p", json.dumps(patch))


def test_an_undo_breaks_no_stream_and_fails_no_request(fleet: Machine) -> None:
    _roll(fleet, "patch", FLEET, "--type=merge", "-p", json.dumps({"spec": {"serving": {"env": {"ROLLOUT": "surge"}}}}))


def test_an_evicted_worker_breaks_no_stream_and_fails_no_request(fleet: Machine) -> None:
    worker = worker_of(fleet, head_pods(fleet)[0])
    with told(fleet), asking(fleet) as client, streaming(fleet, STREAMS, TOKENS) as streams:
        fleet.kubectl("delete", "pod", worker["metadata"]["name"], "--wait=false")
        gone = worker["metadata"]["uid"]
        wait_until(
            lambda: gone not in {pod["metadata"]["uid"] for pod in fleet.get("pods")["items"]},
            "it goes",
            LIMIT_SECONDS,
            every=LOOK_SECONDS,
        )
    assert streams.broken == []
    assert client.failures == []
    wait_until(
        lambda: ready_replicas(fleet) == 2 and len(ready_endpoints(fleet)) == 2,
        "two replicas again",
        180,
        every=LOOK_SECONDS,
    )


def _roll(fleet: Machine, *command: str) -> None:
    """Change the template while streams and questions are under way; return when both replicas are new ones."""
    before = {pod["metadata"]["uid"] for pod in head_pods(fleet)}

    def is_rolled() -> bool:
        now = {pod["metadata"]["uid"] for pod in head_pods(fleet)}
        status = fleet.get(FLEET)["status"]
        return not now & before and status.get("updatedReplicas") == 2 and status.get("availableReplicas") == 2

    with told(fleet), asking(fleet, CLIENTS) as client:
        with streaming(fleet, STREAMS, TOKENS) as streams:
            fleet.kubectl(*command)
            wait_until(is_rolled, "both replicas are of the new template", LIMIT_SECONDS, every=LOOK_SECONDS)
        # There are three rollouts.
        wait_until(lambda: client.answers >= SHORT_REQUESTS / 3 or client.failures, "enough questions", LIMIT_SECONDS)
    assert streams.broken == []
    assert client.failures == []
