"""The controller as a process of its own: it leads alone, and ends cleanly when asked."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from rayfleet.kube.client import KubeClient
from rayfleet.model.resources import FLEETS, LEASES
from rayfleet.testing.fleet_world import FleetWorld, fleet_manifest
from rayfleet.testing.waiting import LIMIT_SECONDS, until

PROGRAM = """
import asyncio, logging, sys
from pathlib import Path
from rayfleet.controllers.run import ControllerSettings, lease_settings, run
logging.basicConfig(level="INFO")
kubeconfig, namespace, identity = sys.argv[1:]
settings = ControllerSettings(
    kubeconfig=Path(kubeconfig),
    namespace=namespace,
    lease=lease_settings(namespace, identity),
    disabled_plugins=("llamacpp", "models", "openai", "sglang", "trtllm", "vllm"),
)
asyncio.run(run(settings))
"""


@asynccontextmanager
async def controller(kubeconfig: Path, namespace: str, identity: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(kubeconfig), namespace, identity, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    async with asyncio.timeout(LIMIT_SECONDS):
        _, said = await process.communicate()
    return process.returncode, said.decode()


async def test_the_second_process_takes_over_when_the_first_is_asked_to_end(
    kubeconfig: Path, client: KubeClient, namespace: str
) -> None:
    world = FleetWorld(client, namespace)

    async def holder() -> str:
        leases = await world.objects(LEASES)
        return str(leases[0]["spec"]["holderIdentity"]) if leases else ""

    async with world.simulated(), controller(kubeconfig, namespace, "one") as first:
        await client.create(FLEETS, fleet_manifest(namespace, replicas=1))
        await world.until_complete(1)
        assert await holder() == "one"
        async with controller(kubeconfig, namespace, "two") as second:
            first.send_signal(signal.SIGTERM)
            code, said = await ended(first)
            assert code == 0, said
            assert "Traceback" not in said
            await until(holder, "the second leads", LIMIT_SECONDS, holds=lambda name: name == "two")
            await world.patch({"spec": {"replicas": 2}})
            await world.until_complete(2)
            second.send_signal(signal.SIGINT)
            code, said = await ended(second)
            assert code == 0, said
    assert await holder() == ""
