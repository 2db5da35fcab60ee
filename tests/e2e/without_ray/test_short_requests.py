"""Short questions never fail while their fleet is rolled over, with a surge and without, and back.

The engine is the fake one, so that many are asked: with real ones most of the time is Ray's start. All else is real:
the cluster's processes, sidecars, drain, gateway. tests/e2e/test_drain.py asks real engines, with long streams beside.
RAYFLEET_SHORT_REQUESTS says how many are answered at least.
"""

import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml
from tests.e2e.clients import asking
from tests.e2e.fleets import FLEET, LOOK_SECONDS, MANIFEST, head_pods, served

from rayfleet.manifest.fleet import decode_fleet
from rayfleet.model.json import Json
from rayfleet.model.ports import ENGINE_PORT
from rayfleet.planning.render import fleet_template
from rayfleet.plugin import registry
from rayfleet.testing.machine import Machine
from rayfleet.testing.waiting import wait_until

SHORT_REQUESTS = int(os.environ.get("RAYFLEET_SHORT_REQUESTS", "1000"))
CLIENTS = 8
LIMIT_SECONDS = 120
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(4 * LIMIT_SECONDS + SHORT_REQUESTS / 10)]
Change = Callable[[int], None]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Machine]:
    with served(tmp_path, "short", manifest()) as machine:
        yield machine


def test_short_questions_never_fail_while_their_fleet_is_rolled_over(fleet: Machine) -> None:
    surge, no_surge = ({"maxSurge": size, "maxUnavailable": 1 - size} for size in (1, 0))
    changes: tuple[Change, ...] = (partial(roll, fleet, surge), partial(roll, fleet, no_surge), partial(undo, fleet))
    with asking(fleet, CLIENTS, pause_seconds=0.001) as client:
        for number in itertools.count():
            before = {pod["metadata"]["uid"] for pod in head_pods(fleet)}
            changes[number % len(changes)](number)
            wait_until(partial(is_rolled, fleet, before), "all are new", LIMIT_SECONDS, every=LOOK_SECONDS)
            is_enough = number + 1 >= len(changes) and client.answers >= SHORT_REQUESTS
            if is_enough or client.failures:
                break
    assert client.failures == []
    sys.stdout.write(f"{client.answers} questions in {number + 1} rollouts\n")


def roll(fleet: Machine, bounds: Json, number: int) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": bounds}
    head = {"template": {"metadata": {"annotations": {"rollout": str(number)}}}}
    spec = {"strategy": strategy, "template": {"spec": {"headGroupSpec": head}}}
    fleet.kubectl("patch", FLEET, "--type=merge", "-p", json.dumps({"spec": spec}))


def undo(fleet: Machine, _number: int) -> None:
    done = fleet.rayfleet("rollout", "undo", FLEET)
    assert done.returncode == 0, done.stderr


def is_rolled(fleet: Machine, before: set[str]) -> bool:
    status = fleet.get(FLEET)["status"]
    counts = {status.get(name) for name in ("updatedReplicas", "availableReplicas", "replicas")}
    return counts == {2} and not before & {pod["metadata"]["uid"] for pod in head_pods(fleet)}


def manifest() -> Json:
    """Return the quickstart's fleet with its template written out, the fake engine in place of Ray and llama.cpp."""
    raw: Json = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
    raw["spec"]["serving"]["nodes"] = 1
    template = fleet_template(decode_fleet(raw), registry.load().engines)
    del raw["spec"]["serving"]
    raw["spec"]["template"] = {
        "metadata": {"labels": dict(template.labels), "annotations": dict(template.annotations)},
        "spec": template.spec,
    }
    raw["spec"]["selector"] = {"matchLabels": dict(template.labels)}
    engine, sidecar = raw["spec"]["template"]["spec"]["headGroupSpec"]["template"]["spec"]["containers"]
    command = f'exec python -m rayfleet.testing.served_engine --host "$POD_IP" --port {ENGINE_PORT} --model smollm2'
    engine |= {"args": [command], "ports": [{"name": "serve", "containerPort": ENGINE_PORT}]}
    for probe in ("readinessProbe", "livenessProbe"):
        engine[probe]["tcpSocket"]["port"] = ENGINE_PORT
    told = [each for each in sidecar["args"] if "-metrics=" not in each and not each.startswith("--expected-ray-nodes")]
    sidecar["args"] = [*told, "--expected-ray-nodes=0", "--running-metrics=fake:requests_running"]
    return raw
