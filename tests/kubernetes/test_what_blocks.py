"""Manifests of others on a cluster that lacks what they ask for: the status says so in the scheduler's words."""

from pathlib import Path

import pytest
import yaml

from rayfleet.model.json import Json
from rayfleet.testing.kubectl import Kubectl
from rayfleet.testing.waiting import wait_until

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(5400)]

SHARED = Path(__file__).parents[3] / "shared" / "data" / "manifests"
FLEETS = ("seed-fleet.yaml", "peer/fleet-two-node.yaml", "peer/deepseek-r1-ai-runtime.yaml")
LIMIT_SECONDS = 300.0


@pytest.mark.parametrize("file", FLEETS)
def test_a_fleet_that_asks_for_gpus_says_in_the_schedulers_words_that_there_are_none(
    installed: Kubectl, file: str
) -> None:
    fleet = _fleet_of(file)
    name = fleet["metadata"]["name"]
    installed.apply({**fleet, "metadata": {**fleet["metadata"], "namespace": "default"}})
    try:
        words = wait_until(
            lambda: _words(installed, name),
            f"the status of {name} says what it lacks",
            LIMIT_SECONDS,
            holds=lambda said: "Insufficient" in said,
            every=0.5,
        )
        assert "nodes are available" in words
        assert "nvidia.com/gpu" in words or "Insufficient cpu" in words
        assert f"{name}-" in words  # the pod
    finally:
        installed("delete", f"rcf/{name}", "--wait=false")


def _fleet_of(file: str) -> Json:
    documents = yaml.safe_load_all((SHARED / file).read_text(encoding="utf-8"))
    return next(each for each in documents if each and each["kind"] == "RayClusterFleet")


def _words(kubectl: Kubectl, name: str) -> str:
    conditions: list[Json] = kubectl.object("get", f"rcf/{name}").get("status", {}).get("conditions", [])
    return " ".join(str(each.get("message", "")) for each in conditions)
