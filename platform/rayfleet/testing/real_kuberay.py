"""The real KubeRay operator on a real API server, and our stand-in on the same: their turns are the test's to give."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rayfleet.kube.client import ClientSettings, KubeClient
from rayfleet.kube.config import connect
from rayfleet.manifest.crds import fleet_crds, foreign_crds
from rayfleet.manifest.structural import PRESERVE
from rayfleet.model.json import Json
from rayfleet.model.resources import RAY_CLUSTERS
from rayfleet.objects.meta import name_of
from rayfleet.testing.definitions import install, read_definitions, with_schema
from rayfleet.testing.realkube import (
    default_cache,
    ensure_binaries,
    ensure_kuberay_operator,
    kuberay_crds,
    real_kube_apiserver,
)
from rayfleet.testing.stand_ins import running_stand_ins
from rayfleet.testing.waiting import LIMIT_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeRayServer:
    """A running API server with KubeRay's own definitions; nobody acts on it but in the blocks below."""

    client: KubeClient
    program: Path
    kubeconfig: Path
    folder: Path

    def operator(self) -> AbstractAsyncContextManager[None]:
        """Run the real operator for the length of the block; its log is ``operator.log`` of the folder."""
        return _running_operator(self.program, self.kubeconfig, self.folder)

    def stand_in(self) -> AbstractAsyncContextManager[None]:
        """Run ours for the length of the block."""
        return running_stand_ins(self.client)


@asynccontextmanager
async def kuberay_server(folder: Path) -> AsyncIterator[KubeRayServer]:
    """Run a real API server for the length of the block; what it needs is built once (minutes)."""
    binaries = await asyncio.to_thread(ensure_binaries, default_cache(), progress=print)
    program = await asyncio.to_thread(ensure_kuberay_operator, default_cache(), progress=print)
    async with real_kube_apiserver(binaries, folder) as server:
        settings = ClientSettings(queries_per_second=1000, burst=2000)
        async with await connect(server.kubeconfig, settings=settings) as client:
            # The stand-ins watch our kinds and the Gateway API's too.
            ours_and_others = [crd for crd in (*fleet_crds(), *foreign_crds()) if not name_of(crd).endswith(".ray.io")]
            published = read_definitions(kuberay_crds(default_cache(), progress=print))
            await install(client, [*map(_without_schema_of_others, published), *ours_and_others])
            yield KubeRayServer(client=client, program=program, kubeconfig=server.kubeconfig, folder=folder)


def _without_schema_of_others(definition: Json) -> Json:
    """Return the definition of RayCluster as it is, any other with open schemas.

    The operator asks that the kinds be there. Their schemas hold RayCluster's again, several times, and cost the server
    more of a core than all else of its start.
    """
    if name_of(definition) == f"{RAY_CLUSTERS.plural}.{RAY_CLUSTERS.group}":
        return definition
    return with_schema(definition, {"type": "object", PRESERVE: True})


@asynccontextmanager
async def _running_operator(program: Path, kubeconfig: Path, folder: Path) -> AsyncIterator[None]:
    addresses = ("--kubeconfig", str(kubeconfig), "--metrics-addr", "0", "--health-probe-bind-address", "0")
    flags = (*addresses, "--enable-leader-election=false")
    with (folder / "operator.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(program, *flags, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), LIMIT_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
