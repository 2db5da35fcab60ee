"""What must exist in a new embedded cluster before anything else: CRDs and the Gateway that routes name.

Safe to repeat.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from rayfleet.kube.apply import apply_object
from rayfleet.kube.client import KubeClient
from rayfleet.kube.config import connect
from rayfleet.kube.errors import ApiError, Unreachable
from rayfleet.manifest.crds import all_crds
from rayfleet.model.errors import EnvironmentProblem
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.policies import DEFAULT_GATEWAY
from rayfleet.model.resources import CRDS, GATEWAYS
from rayfleet.objects.conditions import is_true
from rayfleet.objects.meta import name_of

READY_LIMIT = timedelta(seconds=20)
# A process that died this often before it ever answered will not start by waiting.
DEATHS_THAT_TELL = 3

GATEWAY_MANIFEST: ReadOnlyJson = {
    "apiVersion": GATEWAYS.api_version,
    "kind": GATEWAYS.kind,
    "metadata": {"name": DEFAULT_GATEWAY.name, "namespace": DEFAULT_GATEWAY.namespace},
    "spec": {
        "gatewayClassName": "rayfleet",
        "listeners": [
            {
                "name": "http",
                "protocol": "HTTP",
                "port": 80,
                "allowedRoutes": {"namespaces": {"from": "All"}},
            }
        ],
    },
}


async def wait_for_api_server(kubeconfig: Path, log_path: Path, deaths: Callable[[], int]) -> KubeClient:
    """Return an opened client when ``/readyz`` answers.

    Raises EnvironmentProblem with the end of the log when it does not in time, or when the process keeps dying
    (``deaths`` so far).
    """
    try:
        async with asyncio.timeout(READY_LIMIT.total_seconds()):
            while True:
                if deaths() >= DEATHS_THAT_TELL:
                    end = await asyncio.to_thread(log_tail, log_path)
                    raise EnvironmentProblem(
                        f"the embedded API server does not start; the end of its log:\n{end}",
                        way_out=f"The whole log is {log_path}.",
                    )
                if kubeconfig.exists():
                    client = await (await connect(kubeconfig)).__aenter__()
                    try:
                        await client.raw("GET", "/readyz")
                    except (Unreachable, ApiError):
                        await client.__aexit__(None, None, None)
                    else:
                        return client
                await asyncio.sleep(0.05)
    except TimeoutError:
        end = await asyncio.to_thread(log_tail, log_path)
        raise EnvironmentProblem(
            f"the embedded API server did not answer within {READY_LIMIT.total_seconds():.0f} s; "
            f"the end of its log:\n{end}",
            way_out=f"The whole log is {log_path}.",
        ) from None


async def bootstrap(client: KubeClient) -> None:
    """Apply the CRDs, wait until they are served, and apply the Gateway."""
    crds = all_crds()
    for crd in crds:
        await apply_object(client, crd)
    async with asyncio.timeout(READY_LIMIT.total_seconds()):
        for crd in crds:
            while not is_true(await client.get(CRDS, name_of(crd)), "Established"):
                await asyncio.sleep(0.02)
    await apply_object(client, GATEWAY_MANIFEST)


def log_tail(path: Path, lines: int = 8) -> str:
    """Return the last lines of a log, indented; a note when there is none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "  (no log)"
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (empty)"
