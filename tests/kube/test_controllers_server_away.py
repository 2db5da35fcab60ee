"""The API server away for a minute in the middle of a rollout, frozen or gone: no write is lost, none is done twice.

The server's own audit log counts what it carried out. RAYFLEET_AWAY_SECONDS makes the time another one.
"""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.kube.conftest import foreign_definitions

from rayfleet.kube.client import ClientSettings, KubeClient
from rayfleet.kube.config import connect
from rayfleet.manifest.crds import fleet_crds
from rayfleet.model.json import Json
from rayfleet.model.resources import FLEETS, NAMESPACES, RAY_CLUSTERS, SERVICES
from rayfleet.testing.definitions import install
from rayfleet.testing.fleet_world import FleetWorld, fleet_manifest
from rayfleet.testing.ray_clusters import is_always
from rayfleet.testing.realkube import RealKubeServer, default_cache, ensure_binaries
from rayfleet.testing.waiting import LIMIT_SECONDS, until

AWAY_SECONDS = float(os.environ.get("RAYFLEET_AWAY_SECONDS", "60"))
pytestmark = [pytest.mark.realkube, pytest.mark.timeout(AWAY_SECONDS + 300)]
NAMESPACE = "away"
REPLICAS = 5
_POLICY: Json = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "verbs": ["create", "delete"], "resources": [{"group": RAY_CLUSTERS.group}]},
        {"level": "None"},
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A real API server that can go away; ``process_id`` is that of the API server itself."""

    daemons: RealKubeServer
    process_id: int
    client: KubeClient
    audit: Path

    def carried_out(self) -> Counter[str]:
        """Return how often it created and deleted Ray clusters; deletions that met a finalizer count once."""
        whole, _, _being_written = self.audit.read_text(encoding="utf-8").rpartition("\n")
        entries = [json.loads(line) for line in whole.splitlines()]
        done = (each for each in entries if each["responseStatus"]["code"] < 300)
        return Counter(each["verb"] for each in done if each["objectRef"]["resource"] == RAY_CLUSTERS.plural)


async def _frozen(server: Server) -> None:
    """Let all connections hang; what was sent meanwhile is carried out afterwards."""
    os.kill(server.process_id, signal.SIGSTOP)
    try:
        await asyncio.sleep(AWAY_SECONDS)
    finally:
        os.kill(server.process_id, signal.SIGCONT)


async def _gone(server: Server) -> None:
    """End it, and start it again with what etcd kept."""
    await asyncio.to_thread(server.daemons.stop)
    await asyncio.sleep(AWAY_SECONDS)
    await asyncio.to_thread(server.daemons.start)


@pytest.mark.parametrize("away", [_frozen, _gone])
async def test_a_minute_without_the_api_server_loses_and_doubles_no_write(
    away: Callable[[Server], Awaitable[None]], tmp_path: Path
) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    image = {"spec": {"containers": [{"name": "ray", "image": "rayproject/ray:2.61.0"}]}}
    async with _server(tmp_path) as server:
        world = FleetWorld(server.client, NAMESPACE)
        async with world.running():
            await server.client.create(FLEETS, fleet_manifest(NAMESPACE, replicas=REPLICAS, strategy=strategy))
            await world.until_complete(REPLICAS)
            world.simulator.is_ready = frozenset(await world.names(RAY_CLUSTERS)).__contains__
            await world.patch({"spec": {"template": {"spec": {"headGroupSpec": {"template": image}}}}})
            await until(lambda: server.carried_out()["create"] > REPLICAS, "the rollout has begun")
            assert server.carried_out()["create"] == REPLICAS + 1, "no more before the first one is ready"
            world.simulator.is_ready = is_always
            world.simulator.poke()
            await away(server)
            await world.until_complete(REPLICAS, limit=2 * LIMIT_SECONDS)
            await world.until_route()
        assert server.carried_out() == {"create": 2 * REPLICAS, "delete": REPLICAS}
        assert sorted((await world.sizes()).values()) == [0, REPLICAS]
        assert len(await world.names(SERVICES)) == 1


@asynccontextmanager
async def _server(folder: Path) -> AsyncIterator[Server]:
    policy, audit = folder / "policy.json", folder / "audit.log"
    policy.write_text(json.dumps(_POLICY))
    flags = (f"--audit-policy-file={policy}", f"--audit-log-path={audit}", "--audit-log-mode=blocking")
    binaries = await asyncio.to_thread(ensure_binaries, default_cache(), progress=print)
    daemons = RealKubeServer(binaries, folder, apiserver_flags=flags)
    running = await asyncio.to_thread(daemons.start)
    try:
        async with await connect(running.kubeconfig, settings=ClientSettings()) as client:
            await install(client, (*fleet_crds(), *foreign_definitions("real")))
            await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
            yield Server(daemons=daemons, process_id=running.process_ids[1], client=client, audit=audit)
    finally:
        await asyncio.to_thread(daemons.close)
