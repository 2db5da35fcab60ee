"""Watch fleets of an embedded cluster come up.

Read pods, ask head sidecars for their reasons, notice what will never work.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import aiohttp

from rayfleet.kube.client import KubeClient
from rayfleet.local.node.folders import pod_folder
from rayfleet.local.supervisor.bootstrap import log_tail
from rayfleet.local.up.fleet_progress import FleetProgress, Trouble, fleet_progress, head_pods
from rayfleet.model.errors import EnvironmentProblem
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.ports import SIDECAR_PORT
from rayfleet.model.resources import FLEETS, PODS, RAY_CLUSTERS
from rayfleet.objects.meta import name_of, namespace_of, uid_of
from rayfleet.objects.pods import is_ready, pod_address

POLL_SECONDS = 0.15
# A trouble that lasts this long is no passing state (a pod that waits for one that is just ending, say).
TROUBLE_LIMIT = timedelta(seconds=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One look at a fleet: its progress and what the first unready engine says of itself ("" when there is nothing)."""

    progress: FleetProgress
    engine_message: str


async def watch_fleet(client: KubeClient, key: ObjectKey, pods_folder: Path, limit: timedelta) -> AsyncGenerator[Sight]:
    """Yield a look at the fleet several times a second until the caller has seen enough.

    Raises EnvironmentProblem when a trouble lasts (with the end of the log that tells more), or after ``limit``.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limit.total_seconds()
    trouble_since: float | None = None
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1)) as session:
        while True:
            fleet = await client.get(FLEETS, key.name, key.namespace)
            clusters = await client.list(RAY_CLUSTERS, key.namespace)
            pods = await client.list(PODS, key.namespace)
            progress = fleet_progress(fleet, clusters.items, pods.items)
            message = await _engine_message(session, head_pods(key.name, pods.items))
            yield Sight(progress=progress, engine_message=message)
            trouble_since = (trouble_since or loop.time()) if progress.troubles else None
            if trouble_since is not None and loop.time() - trouble_since > TROUBLE_LIMIT.total_seconds():
                raise await asyncio.to_thread(_hopeless, key, progress.troubles, pods.items, pods_folder)
            if loop.time() > deadline:
                raise EnvironmentProblem(
                    f"fleet {key} is not ready after {limit.total_seconds():.0f} s: "
                    f"{progress.nodes_up}/{progress.nodes_expected} Ray nodes, "
                    f"{progress.replicas_ready}/{progress.replicas_expected} replicas; "
                    f"{message or 'its engine says nothing'}",
                    way_out=f"Logs of its pods: {pods_folder}. A larger model may need a larger --timeout.",
                )
            await asyncio.sleep(POLL_SECONDS)


async def _engine_message(session: aiohttp.ClientSession, heads: Sequence[ReadOnlyJson]) -> str:
    for pod in heads:
        address = pod_address(pod)
        if not address or is_ready(pod):
            continue
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, ValueError):
            async with session.get(f"http://{address}:{SIDECAR_PORT}/ready") as response:
                verdict = await response.json()
                return str(verdict.get("message") or verdict.get("reason") or "")
    return ""


def _hopeless(
    key: ObjectKey, troubles: Sequence[Trouble], pods: Sequence[ReadOnlyJson], pods_folder: Path
) -> EnvironmentProblem:
    first = troubles[0]
    lines = "".join(f"\n  {trouble}" for trouble in troubles[:4])
    tail = "".join(
        f"\nthe end of its log ({path.name}):\n{log_tail(path)}" for path in _newest_logs(first, pods, pods_folder)
    )
    return EnvironmentProblem(
        f"fleet {key} cannot get ready:{lines}{tail}",
        way_out=f"Mend the manifest and apply it again. Logs of its pods: {pods_folder}.",
    )


def _newest_logs(trouble: Trouble, pods: Sequence[ReadOnlyJson], pods_folder: Path) -> list[Path]:
    """Return the newest non-empty log of the container that the trouble names, if there is one."""
    if not trouble.container:
        return []
    for pod in pods:
        if name_of(pod) == trouble.pod:
            folder = pods_folder / pod_folder(namespace_of(pod), name_of(pod), uid_of(pod)) / trouble.container
            logs = [path for path in folder.glob("*.log") if path.stat().st_size]
            return [max(logs, key=lambda path: path.stat().st_mtime)] if logs else []
    return []
