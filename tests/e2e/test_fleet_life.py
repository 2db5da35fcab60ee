"""The life of a fleet of two replicas, two Ray nodes each: looked at, scaled, rolled, hurt, and ended, in this order.

One cluster serves all tests of this module: each leaves the fleet as it found it, with every replica ready.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

import openai
import pytest
from tests.e2e.clients import asking
from tests.e2e.fleets import (
    FLEET,
    MANIFEST,
    asked,
    head_pods,
    processes_of,
    ready_addresses,
    ready_endpoints,
    ready_replicas,
    serving_fleet,
    slices_of,
    watched,
    worker_of,
)

from rayfleet.local.proc import start_ticks
from rayfleet.testing.machine import QUESTION, Machine
from rayfleet.testing.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with serving_fleet(tmp_path_factory.mktemp("state"), "life") as machine:
        yield machine


def has_been_without(events: Sequence[dict[str, Any]], address: str) -> bool:
    """Whether the endpoint was away in a state of the slice: it may be back before a look at now is answered."""
    return any(address not in ready_addresses(event["object"]) for event in events)


def living_pods(machine: Machine) -> set[str]:
    return {
        pod["metadata"]["uid"] for pod in machine.get("pods")["items"] if "deletionTimestamp" not in pod["metadata"]
    }


def test_kubectl_sees_the_fleet_with_its_columns(fleet: Machine) -> None:
    head, row = fleet.kubectl("get", "rcf").splitlines()
    assert head.split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "MODEL", "STATUS", "AGE"]
    assert row.split()[:6] == ["smollm2", "2/2", "2", "2", "smollm2", "Available"]
    assert "smollm2" in fleet.kubectl("get", "rcrs")
    assert "Conditions" in fleet.kubectl("describe", FLEET)
    assert "maxSurge" in fleet.kubectl("explain", "rcf.spec.strategy.rollingUpdate")
    fleet.kubectl("wait", FLEET, "--for=condition=Available", "--timeout=30s")
    assert "rayfleet-sidecar" in fleet.kubectl(
        "logs", head_pods(fleet)[0]["metadata"]["name"], "--all-containers", "--prefix"
    )


def test_kubectl_applies_diffs_and_patches(fleet: Machine) -> None:
    text = MANIFEST.read_text().replace("spec:\n  replicas", "spec:\n  progressDeadlineSeconds: 500\n  replicas", 1)
    done = fleet.kubectl("apply", "-f", "-", stdin=text)
    assert "smollm2" in done
    assert fleet.get(FLEET)["spec"]["progressDeadlineSeconds"] == 500
    fleet.kubectl("patch", FLEET, "--type=json", "-p", '[{"op": "remove", "path": "/spec/progressDeadlineSeconds"}]')
    fleet.kubectl("patch", FLEET, "--type=merge", "-p", '{"metadata": {"annotations": {"note": "here"}}}')
    assert fleet.get(FLEET)["metadata"]["annotations"]["note"] == "here"
    assert fleet.kubectl("diff", "-f", "-", stdin=MANIFEST.read_text()) == ""


def test_the_openai_package_works(fleet: Machine) -> None:
    client = openai.OpenAI(base_url=f"{fleet.url}/v1", api_key="unused", max_retries=0)
    messages: Any = QUESTION
    chat = client.chat.completions.create(model="smollm2", messages=messages, temperature=0, max_tokens=16)
    assert "Paris" in (chat.choices[0].message.content or "")
    plain = client.completions.create(model="smollm2", prompt="The capital of France is", max_tokens=4, temperature=0)
    assert plain.choices[0].text
    stream = client.chat.completions.create(
        model="smollm2", messages=messages, temperature=0, max_tokens=16, stream=True
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert "Paris" in text
    assert [model.id for model in client.models.list()] == ["smollm2"]
    with pytest.raises(openai.NotFoundError, match="smollm2"):
        client.chat.completions.create(model="smolm2", messages=messages)
    client.close()


def test_the_examples_own_check_passes(fleet: Machine) -> None:
    check = MANIFEST.with_name("check.py")
    done = subprocess.run(
        [sys.executable, str(check), fleet.url], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Paris" in done.stdout


def test_scaling_up_and_back_fails_no_request(fleet: Machine) -> None:
    with asking(fleet) as client:
        fleet.kubectl("scale", FLEET, "--replicas=3")
        wait_until(lambda: len(ready_endpoints(fleet)) == 3, "three endpoints", 90)
        fleet.kubectl("scale", FLEET, "--replicas=2")
        wait_until(lambda: len(head_pods(fleet)) == 2 and len(ready_endpoints(fleet)) == 2, "two endpoints", 90)
        wait_until(lambda: ready_replicas(fleet) == 2, "two replicas", 90)
    assert client.answers > 10
    assert client.failures == []


def test_a_template_change_rolls_over_and_fails_no_request(fleet: Machine) -> None:
    before = {pod["metadata"]["uid"] for pod in head_pods(fleet)}
    patch = {"spec": {"serving": {"args": ["--parallel-requests", "3"]}}}
    with asking(fleet) as client:
        fleet.kubectl("patch", FLEET, "--type=merge", "-p", json.dumps(patch))

        def is_rolled() -> bool:
            now = {pod["metadata"]["uid"] for pod in head_pods(fleet)}
            status = fleet.get(FLEET)["status"]
            return not now & before and status.get("updatedReplicas") == 2 and status.get("availableReplicas") == 2

        wait_until(is_rolled, "both replicas of the new template", 180)
    assert client.answers > 10
    assert client.failures == []


def test_a_killed_actor_leaves_the_slice_and_comes_back(fleet: Machine) -> None:
    head = head_pods(fleet)[0]
    address = head["status"]["podIP"]
    servers = json.loads(asked(f"http://{address}:8000/health")[1])["servers"]
    with watched(fleet, "endpointslices", "-l", slices_of(fleet)) as slices:
        os.kill(servers[1]["pid"], signal.SIGKILL)
        wait_until(lambda: asked(f"http://{address}:8080/ready")[0] == 503, "503 of the head's sidecar", 20)
        wait_until(lambda: has_been_without(slices, address), "its endpoint leaves the slice", 30)
    assert "Paris" in fleet.ask()
    wait_until(lambda: len(ready_endpoints(fleet)) == 2, "the replica is back", 60)


def test_a_killed_worker_pod_turns_its_head_unready_and_comes_back(fleet: Machine) -> None:
    head = head_pods(fleet)[0]
    address = head["status"]["podIP"]
    worker = worker_of(fleet, head)
    with watched(fleet, "endpointslices", "-l", slices_of(fleet)) as slices:
        for pid in processes_of(worker):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: asked(f"http://{address}:8080/ready")[0] == 503, "503 of the head's sidecar", 30)
        wait_until(lambda: has_been_without(slices, address), "its endpoint leaves the slice", 30)
    assert "Paris" in fleet.ask()
    wait_until(lambda: len(ready_endpoints(fleet)) == 2, "the replica is back", 90)


@pytest.mark.parametrize("process", ["apiserver", "controllers", "node", "gateway"])
def test_a_killed_process_is_started_again_and_nothing_is_doubled(fleet: Machine, process: str) -> None:
    pods = living_pods(fleet)
    before = fleet.record.processes[process]
    os.kill(before.identity.pid, signal.SIGKILL)
    wait_until(
        lambda: (
            fleet.record.processes[process].restarts > before.restarts
            and fleet.record.processes[process].identity.is_alive()
        ),
        f"{process} runs again",
        60,
    )
    wait_until(fleet.is_reachable, "the API server answers", 60)
    wait_until(lambda: _answers(fleet), "the fleet answers", 60)
    wait_until(lambda: ready_replicas(fleet) == 2 and len(ready_endpoints(fleet)) == 2, "both replicas are ready", 60)
    assert living_pods(fleet) == pods


def test_a_killed_supervisor_leaves_a_serving_fleet_that_the_next_up_takes_back(fleet: Machine) -> None:
    pods = living_pods(fleet)
    port = str(fleet.record.gateway_port)
    supervisor = fleet.record.supervisor
    os.kill(supervisor.pid, signal.SIGKILL)
    wait_until(lambda: start_ticks(supervisor.pid) != supervisor.start_ticks, "the supervisor is gone", 60)
    assert "Paris" in fleet.ask()
    done = fleet.rayfleet("up", "--detach", "--gateway-port", port, limit=200)
    assert done.returncode == 0, done.stderr
    assert fleet.record.supervisor != supervisor
    wait_until(lambda: len(ready_endpoints(fleet)) == 2, "both replicas are ready", 60)
    assert living_pods(fleet) == pods


def test_a_deleted_fleet_takes_everything_with_it(fleet: Machine) -> None:
    done = fleet.rayfleet("delete", FLEET, "--timeout", "90")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: fleet.get("pods,rcrs,rayclusters,httproutes")["items"] == [], "nothing left", 60)
    services = [each["metadata"]["name"] for each in fleet.get("services")["items"]]
    assert [name for name in services if name != "kubernetes"] == []
    status, body = _post_unknown(fleet)
    assert (status, json.loads(body)["error"]["code"]) == (404, "path_not_found")


def _answers(machine: Machine) -> bool:
    try:
        return "Paris" in machine.ask()
    except (OSError, AssertionError):
        return False


def _post_unknown(machine: Machine) -> tuple[int, str]:
    body = json.dumps({"model": "smollm2", "messages": QUESTION}).encode()
    request = urllib.request.Request(  # noqa: S310 - our own gateway on loopback
        f"{machine.url}/v1/chat/completions", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - as above
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
