"""Manifests of others, unchanged, on a cluster that lacks what they ask for: the status says so, with the pod.

The words are the scheduler's where no node fits, the kubelet's where an image cannot be had.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rayfleet.testing.kubectl import Kubectl
from rayfleet.testing.waiting import wait_until

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(5400)]

SHARED = Path(__file__).parents[3] / "shared" / "data" / "manifests"
LIMIT_SECONDS = 180.0
NO_GPU = ("nodes are available", "Insufficient nvidia.com/gpu")
NO_ROOM = ("nodes are available", "Insufficient cpu")
NO_IMAGE = ("Image", "rayproject/ray:2.10.0")

CASES = [
    ("seed-fleet.yaml", "rcf", "qwen-coder-7b-instruct", NO_GPU),
    ("peer/deepseek-r1-ai-runtime.yaml", "rcf", "deepseek-r1-671b", NO_GPU),
    ("peer/orchestration_v1alpha1_rayclusterfleet.yaml", "rcf", "fleet", NO_IMAGE),
    ("peer/orchestration_v1alpha1_rayclusterreplicaset.yaml", "rcrs", "rs", NO_ROOM),
]


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the users' manifests are not here: {SHARED}")
@pytest.mark.parametrize(("file", "kind", "name", "words"), CASES, ids=[case[0].rpartition("/")[2] for case in CASES])
def test_the_status_names_the_pod_and_what_blocks_it(
    installed: Kubectl, file: str, kind: str, name: str, words: tuple[str, ...]
) -> None:
    with _applied(installed, SHARED / file):
        told = wait_until(
            lambda: _told(installed, f"{kind}/{name}"),
            f"the status of {name} says what it lacks",
            LIMIT_SECONDS,
            holds=lambda said: all(word in said for word in words),
            every=0.5,
        )
        pods = installed.object("get", "pods")["items"]
        assert any(pod["metadata"]["name"] in told for pod in pods if pod["metadata"]["name"].startswith(f"{name}-"))


@contextmanager
def _applied(kubectl: Kubectl, file: Path) -> Iterator[None]:
    """Apply a file as its reader would, each object to the namespace that it names, for the length of the block."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "aibrix-system"}}
    kubectl.apply(namespace)
    _at_its_places(kubectl, "apply", "-f", str(file))
    try:
        yield
    finally:
        _at_its_places(kubectl, "delete", "--wait=false", "-f", str(file))


def _at_its_places(kubectl: Kubectl, *arguments: str) -> None:
    done = subprocess.run(
        [kubectl.program, *arguments],
        env=kubectl.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _told(kubectl: Kubectl, name: str) -> str:
    return json.dumps(kubectl.object("get", name).get("status", {}))
