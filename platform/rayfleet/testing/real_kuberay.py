"""The real KubeRay operator on a real API server, and our stand-in on the same: their turns are the test's to give.

A start of the server is nine seconds of a core, so one serves many tests, each for the length of a block. No controller
manager is there: what was made in the block goes with it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import orjson

from rayfleet.kube.client import ClientSettings, KubeClient
from rayfleet.kube.config import connect
from rayfleet.kube.requests import collection_path
from rayfleet.manifest.crds import fleet_crds, foreign_crds
from rayfleet.manifest.structural import PRESERVE
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import (
    CONFIG_MAPS,
    DISRUPTION_BUDGETS,
    ENDPOINT_SLICES,
    EVENTS,
    FLEETS,
    HTTP_ROUTES,
    LEASES,
    NAMESPACES,
    PODS,
    RAY_CLUSTERS,
    REPLICA_SETS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    ResourceType,
)
from rayfleet.objects.meta import key_of, name_of
from rayfleet.objects.parts import part
from rayfleet.testing.definitions import read_definitions, with_schema
from rayfleet.testing.realkube import default_cache, kuberay_crds
from rayfleet.testing.stand_ins import running_stand_ins
from rayfleet.testing.waiting import LIMIT_SECONDS

_RBAC = "rbac.authorization.k8s.io"
# What tests, our controllers, the operator and the stand-ins write.
_WRITTEN = (
    *(FLEETS, REPLICA_SETS, HTTP_ROUTES, RAY_CLUSTERS, PODS, SERVICES, ENDPOINT_SLICES, SECRETS, CONFIG_MAPS),
    *(SERVICE_ACCOUNTS, DISRUPTION_BUDGETS, LEASES, EVENTS),
    ResourceType(group=_RBAC, version="v1", plural="roles", kind="Role"),
    ResourceType(group=_RBAC, version="v1", plural="rolebindings", kind="RoleBinding"),
)
_AT_ONCE = orjson.dumps({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeRayServer:
    """A running API server with KubeRay's own definitions; nobody acts on it but in the blocks below."""

    client: KubeClient
    program: Path
    kubeconfig: Path
    folder: Path
    namespaces: list[str] = field(default_factory=list)

    async def namespace(self, name: str, labels: Mapping[str, str] | None = None) -> str:
        """Make a namespace that nobody had before, named after ``name``; return its whole name."""
        meta = {"name": f"{name}-{uuid4().hex[:10]}", "labels": dict(labels or {})}
        made = await self.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        self.namespaces.append(name_of(made))
        return name_of(made)

    def operator(self) -> AbstractAsyncContextManager[None]:
        """Run the real operator for the length of the block; its log is ``operator.log`` of the folder."""
        return _running_operator(self.program, self.kubeconfig, self.folder)

    def stand_in(self) -> AbstractAsyncContextManager[None]:
        """Run ours for the length of the block."""
        return running_stand_ins(self.client)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedKubeRay:
    """Such a server, with ``definitions``, beyond the event loop of a test, and the operator's program."""

    program: Path
    kubeconfig: Path

    @asynccontextmanager
    async def lent(self, folder: Path) -> AsyncIterator[KubeRayServer]:
        """Lend it for the length of the block; its namespaces are gone then, with all that is in them.

        Raises AssertionError where whoever had it before left something that an operator would act on.
        """
        settings = ClientSettings(queries_per_second=1000, burst=2000)
        async with await connect(self.kubeconfig, settings=settings) as client:
            left = [str(key_of(raw)) for kind in (RAY_CLUSTERS, PODS) for raw in (await client.list(kind)).items]
            assert left == [], "left by whoever had the server before"
            server = KubeRayServer(client=client, program=self.program, kubeconfig=self.kubeconfig, folder=folder)
            try:
                yield server
            finally:
                for namespace in server.namespaces:
                    await _remove(client, namespace)


def definitions() -> list[Json]:
    """Return KubeRay's own definitions, and ours and the Gateway API's, which the stand-ins watch too."""
    ours_and_others = [crd for crd in (*fleet_crds(), *foreign_crds()) if not name_of(crd).endswith(".ray.io")]
    published = read_definitions(kuberay_crds(default_cache(), progress=print))
    return [*map(_without_schema_of_others, published), *ours_and_others]


async def _remove(client: KubeClient, namespace: str) -> None:
    """Delete what is in a namespace, whatever waits for its end, and then the namespace; nobody may act on it."""
    for resource in _WRITTEN:
        await client.raw("DELETE", collection_path(resource, namespace), body=_AT_ONCE)
        for held in (await client.list(resource, namespace)).items:
            await client.patch(resource, key_of(held), {"metadata": {"finalizers": None}})
    await client.delete(NAMESPACES, ObjectKey(namespace="", name=namespace))
    going = await client.get(NAMESPACES, namespace)
    empty = {**going, "spec": {**part(going, "spec"), "finalizers": []}}
    await client.replace(NAMESPACES, empty, subresource="finalize")


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
