"""``rayfleet plan`` and ``apply --dry-run`` against both API servers: they say what would be, and write nothing."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import NotFound
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import FLEETS
from rayfleet.testing.good_fleet import good_fleet

Run = Callable[..., Coroutine[Any, Any, "subprocess.CompletedProcess[str]"]]
LIMIT_SECONDS = 60


@pytest.fixture
def rayfleet(kubeconfig: Path, namespace: str) -> Run:
    def run(fields: Json, *words: str) -> "subprocess.CompletedProcess[str]":
        where = ("--kubeconfig", str(kubeconfig), "-n", namespace)
        return subprocess.run(
            [sys.executable, "-m", "rayfleet.cli.main", *words, "-f", "-", *where],
            input=yaml.safe_dump(good_fleet(fields)),
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )

    async def in_a_thread(fields: Json, *words: str) -> "subprocess.CompletedProcess[str]":
        return await asyncio.to_thread(run, fields, *words)

    return in_a_thread


@pytest.mark.parametrize("way", ["client", "server"])
async def test_a_dry_run_of_a_new_object_stores_nothing(
    rayfleet: Run, client: KubeClient, namespace: str, way: str
) -> None:
    done = await rayfleet({}, "apply", f"--dry-run={way}")
    mark = "(server dry run)" if way == "server" else "(dry run)"
    assert (done.returncode, done.stdout) == (0, f"rayclusterfleets/qwen created {mark}\n"), done.stderr
    with pytest.raises(NotFound):
        await client.get(FLEETS, "qwen", namespace)


@pytest.mark.parametrize("way", ["client", "server"])
async def test_a_dry_run_tells_each_field_that_would_change(
    rayfleet: Run, client: KubeClient, namespace: str, way: str
) -> None:
    assert (await rayfleet({"spec.replicas": 1, "spec.paused": True}, "apply", "-q")).returncode == 0
    done = await rayfleet({"spec.replicas": 2}, "apply", f"--dry-run={way}")
    head, *changed = done.stdout.splitlines()
    assert head.startswith("rayclusterfleets/qwen configured ("), done.stderr
    # The server fills in its default for what left the manifest.
    paused = "  spec.paused: true -> " + ("false" if way == "server" else "(none)")
    assert sorted(changed) == [paused, "  spec.replicas: 1 -> 2"]
    stored = await client.get(FLEETS, "qwen", namespace)
    assert (stored["spec"]["replicas"], stored["spec"]["paused"]) == (1, True)
    unchanged = await rayfleet({"spec.replicas": 1, "spec.paused": True}, "apply", f"--dry-run={way}")
    assert unchanged.stdout.startswith("rayclusterfleets/qwen unchanged (")


async def test_a_dry_run_of_the_server_is_refused_as_the_change_would_be(
    rayfleet: Run, client: KubeClient, namespace: str
) -> None:
    assert (await rayfleet({}, "apply")).returncode == 0
    await client.patch(FLEETS, ObjectKey(namespace=namespace, name="qwen"), {"metadata": {"annotations": {"a": "b"}}})
    other = {"spec.selector.matchLabels": {"app": "b"}, "spec.template.metadata.labels": {"app": "b"}}
    done = await rayfleet(other, "apply", "--dry-run=server")
    assert done.returncode == 1
    assert "selector cannot be changed" in done.stderr


async def test_a_plan_tells_objects_fields_revision_and_accelerators(
    rayfleet: Run, client: KubeClient, namespace: str
) -> None:
    gpus = {"spec.template.spec.headGroupSpec.template.spec.containers.0.resources.limits": {"nvidia.com/gpu": 2}}
    done = await rayfleet({"spec.replicas": 2, **gpus}, "plan")
    head, revision, clusters, accelerators, *steps = done.stdout.splitlines()
    assert head == f"RayClusterFleet {namespace}/qwen: created"
    assert revision.split() == ["revision", "1", "(first)"]
    assert clusters.split(None, 2)[2] == "0 now, 2 at the peak, 2 then (surge 1, unavailable 0)"
    assert accelerators.split(None, 1)[1] == "0 now, 4 at the peak, 4 then"
    assert steps[0].split()[:3] == ["first", "create", "RayClusterReplicaSet"]
    with pytest.raises(NotFound):
        await client.get(FLEETS, "qwen", namespace)


async def test_apply_warns_unless_it_is_to_be_quiet(rayfleet: Run) -> None:
    image = {"spec.template.spec.headGroupSpec.template.spec.containers.1.image": "rayfleet/sidecar"}
    (line,) = (await rayfleet(image, "apply")).stderr.splitlines()
    assert line.startswith("standard input:")
    assert line.endswith("(latest-image)")
    assert (await rayfleet(image, "apply", "--quiet")).stderr == ""
