"""``python -m tests.bench.simulator KUBECONFIG``: a KubeRay that costs next to nothing; its pods are ready at once.

For each RayCluster one write (its status: head and workers ready), for each deletion one (the finalizer goes). It runs
as a process of its own, so that its CPU time is nobody's who is measured.
"""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from rayfleet.kube.client import ClientSettings, KubeClient
from rayfleet.kube.config import connect
from rayfleet.kube.errors import ApiError
from rayfleet.kube.reflector import Reflector
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import RAY_CLUSTERS
from rayfleet.objects.meta import finalizers_of, is_terminating, key_of, version_of
from rayfleet.objects.parts import part
from rayfleet.objects.ray_spec import desired_workers
from rayfleet.objects.times import encode_time

_WRITERS = 16


class Simulator:
    """Takes Ray clusters from a watch and lets each be as KubeRay would have it in the end."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._reflector = Reflector(client, RAY_CLUSTERS)
        self._queue: asyncio.Queue[ReadOnlyJson] = asyncio.Queue()
        self._reflector.subscribe(self._hear)

    async def run(self) -> None:
        """Play until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._reflector.run())
            for _ in range(_WRITERS):
                tasks.create_task(self._write_all())

    def _hear(self, _old: ReadOnlyJson | None, new: ReadOnlyJson | None) -> None:
        if new is not None and (finalizers_of(new) if is_terminating(new) else not part(new, "status")):
            self._queue.put_nowait(new)

    async def _write_all(self) -> None:
        while True:
            manifest = await self._queue.get()
            try:
                await self._write(manifest)
            except ApiError:
                continue  # it changed meanwhile: its next event comes

    async def _write(self, manifest: ReadOnlyJson) -> None:
        key = key_of(manifest)
        if is_terminating(manifest):
            meta = {"finalizers": [], "resourceVersion": version_of(manifest)}
            await self._client.patch(RAY_CLUSTERS, key, {"metadata": meta})
        else:
            await self._client.patch(RAY_CLUSTERS, key, {"status": _ready(manifest)}, subresource="status")


def _ready(manifest: ReadOnlyJson) -> Json:
    workers = desired_workers(part(manifest, "spec"))
    condition = {
        "type": "HeadPodReady",
        "status": "True",
        "reason": "HeadPodRunningAndReady",
        "message": "",
        "lastTransitionTime": encode_time(datetime.now(UTC)),
    }
    return {"desiredWorkerReplicas": workers, "readyWorkerReplicas": workers, "conditions": [condition]}


async def _main(kubeconfig: Path) -> None:
    settings = ClientSettings(queries_per_second=5000, burst=5000, user_agent="simulator")
    async with await connect(kubeconfig, settings=settings) as client:
        await Simulator(client).run()


if __name__ == "__main__":
    uvloop.run(_main(Path(sys.argv[1])))
