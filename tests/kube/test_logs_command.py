"""``rayfleet logs`` by every kind that has pods, in every spelling; the embedded server reads the files of a node."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rayfleet.kube.client import KubeClient
from rayfleet.kube.config import connect
from rayfleet.local.apiserver.testing import embedded_api_server
from rayfleet.manifest.crds import all_crds
from rayfleet.model.json import Json
from rayfleet.model.resources import FLEETS, PODS, RAY_CLUSTERS, REPLICA_SETS
from rayfleet.objects.meta import name_of, uid_of
from rayfleet.objects.owners import controller_reference
from rayfleet.testing.command_line import Command
from rayfleet.testing.definitions import install
from rayfleet.testing.fleet_world import fleet_manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A fleet ``toy`` with the replica set ``toy-1``, its Ray cluster ``toy-1-a``, a head and a worker that print."""

    command: Command

    async def logs(self, *arguments: str, code: int = 0) -> list[str]:
        result = await asyncio.to_thread(self.command, "logs", *arguments, code=code)
        return sorted(result.stdout.splitlines()) if code == 0 else result.stderr.splitlines()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    pods = tmp_path / "pods"
    async with (
        embedded_api_server(tmp_path / "state", pods_folder=pods) as running,
        await connect(running.kubeconfig) as client,
    ):
        await install(client, all_crds())
        await _make(client, pods)
        yield World(command=Command(kubeconfig=running.kubeconfig))


async def _make(client: KubeClient, pods: Path) -> None:
    manifest = fleet_manifest("default", "toy")
    fleet = await client.create(FLEETS, manifest)
    spec = {"selector": manifest["spec"]["selector"], "template": manifest["spec"]["template"]}
    replica_set = await client.create(
        REPLICA_SETS, _owned(REPLICA_SETS.api_version, "RayClusterReplicaSet", "toy-1", spec)
    )
    owner = controller_reference(REPLICA_SETS, name_of(replica_set), uid_of(replica_set))
    cluster = _owned(RAY_CLUSTERS.api_version, "RayCluster", "toy-1-a", manifest["spec"]["template"]["spec"])
    cluster["metadata"]["ownerReferences"] = [owner]
    await client.create(RAY_CLUSTERS, cluster)
    for role in ("head", "worker"):
        labels = {
            "orchestration.aibrix.ai/raycluster-fleet-name": name_of(fleet),
            "ray.io/cluster": "toy-1-a",
            "ray.io/node-type": role,
        }
        pod = _owned("v1", "Pod", f"toy-1-a-{role}", {"containers": [{"name": "ray", "image": "x"}]})
        pod["metadata"]["labels"] = labels
        stored = await client.create(PODS, pod)
        folder = pods / f"default_{name_of(stored)}_{uid_of(stored)}" / "ray"
        folder.mkdir(parents=True)
        (folder / "0.log").write_text(f"{role} before\n")
        (folder / "1.log").write_text(f"{role} one\n{role} two\n")


def _owned(version: str, kind: str, name: str, spec: Json) -> Json:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec}


ALL = ["toy-1-a-head/ray: head one", "toy-1-a-head/ray: head two"]
ALL += ["toy-1-a-worker/ray: worker one", "toy-1-a-worker/ray: worker two"]


@pytest.mark.parametrize(
    "words",
    [
        ("rcf/toy",),
        ("rcf", "toy"),
        ("rayclusterfleet/toy",),
        ("rayclusterfleets/toy",),
        ("fleets.orchestration.aibrix.ai/toy",),
        ("toy",),
        ("rcrs/toy-1",),
        ("raycluster/toy-1-a",),
        ("rc", "toy-1-a"),
        ("pod/toy-1-a-head", "po/toy-1-a-worker"),
        ("rcf/toy", "-A"),
    ],
)
async def test_every_kind_that_has_pods_is_taken_in_every_spelling(world: World, words: tuple[str, ...]) -> None:
    assert await world.logs(*words) == ALL


async def test_one_container_has_no_prefix(world: World) -> None:
    assert await world.logs("pod/toy-1-a-head") == ["head one", "head two"]
    assert await world.logs("toy-1-a-head", "-c", "ray") == ["head one", "head two"]
    assert await world.logs("rcf/toy", "--head", "--tail", "1") == ["head two"]
    assert await world.logs("rcf/toy", "--head", "--previous") == ["head before"]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("rcf/other",), 1, "Fleets with pods: toy."),
        (("rcf/toy", "-c", "none"), 1, "They have ray"),
        (("pod/none",), 1, "not found"),
        (("svc/toy",), 2, "services have no pods"),
        (("flets/toy",), 2, "Did you mean"),
        (("rcf",), 1, "has no pods"),
        (("rcf/toy", "--since", "soon"), 2, "is no duration"),
        (("pod/toy-1-a-head", "-A"), 2, "-n"),
    ],
)
async def test_what_cannot_be_is_said_with_the_way_out(
    world: World, words: tuple[str, ...], code: int, text: str
) -> None:
    assert text in "\n".join(await world.logs(*words, code=code))
