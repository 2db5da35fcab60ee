"""A right that the rendered role of the controllers lacks is named where a person looks, and its return mends all."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from rayfleet.deploy.install import install_objects
from rayfleet.kube.client import ClientSettings, KubeClient
from rayfleet.kube.config import connect
from rayfleet.manifest.crds import fleet_crds, foreign_crds
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import (
    FLEETS,
    GATEWAYS,
    NAMESPACES,
)
from rayfleet.objects.meta import key_of
from rayfleet.testing.definitions import install
from rayfleet.testing.fleet_world import FleetWorld, fleet_manifest
from rayfleet.testing.installed_roles import (
    CLUSTER_ROLES,
    Access,
    account_address,
    allowed_by,
    install_roles,
)
from rayfleet.testing.realkube import RealKubeServer, default_cache, ensure_binaries
from rayfleet.testing.waiting import until

pytestmark = [pytest.mark.realkube, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the way to a real API server that checks owners as OpenShift's does, with our definitions and roles."""
    flags = ("--enable-admission-plugins=OwnerReferencesPermissionEnforcement",)
    binaries = ensure_binaries(default_cache(), progress=print)
    with RealKubeServer(binaries, tmp_path_factory.mktemp("installed"), apiserver_flags=flags) as running:
        asyncio.run(_prepare(running.kubeconfig))
        yield running.kubeconfig


async def _prepare(kubeconfig: Path) -> None:
    async with await connect(kubeconfig) as client:
        await install(client, (*fleet_crds(), *foreign_crds()))
        await install_roles(client)
        objects = await asyncio.to_thread(install_objects, {"gatewayApi": {"className": "rayfleet"}})
        gateway = next(each for each in objects if each["kind"] == GATEWAYS.kind)
        await client.create(GATEWAYS, gateway)


@pytest.fixture
async def admin(installed: Path) -> AsyncIterator[KubeClient]:
    settings = ClientSettings(queries_per_second=1000, burst=2000)
    async with await connect(installed, settings=settings) as client:
        yield client


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A right that is taken away, and the words that must be said of it; ``where`` says in which condition."""

    access: Access
    words: str
    where: str = ""


TAKEN = (
    Taken(
        access=Access("ray.io", "rayclusters", "create"),
        words='cannot create resource "rayclusters"',
        where="ReplicaFailure",
    ),
    Taken(
        access=Access("orchestration.aibrix.ai", "rayclusterreplicasets/finalizers", "update"),
        words="cannot set blockOwnerDeletion",
        where="ReplicaFailure",
    ),
    Taken(
        access=Access("orchestration.aibrix.ai", "rayclusterfleets/status", "patch"),
        words='cannot patch resource "rayclusterfleets/status"',
    ),
    Taken(
        access=Access("gateway.networking.k8s.io", "httproutes", "create"),
        words='cannot create resource "httproutes"',
        where="Routed",
    ),
)


def without(role: ReadOnlyJson, taken: Access) -> Sequence[ReadOnlyJson]:
    """Return the rules of a role less one verb on one resource."""
    return [
        {"apiGroups": [each.group], "resources": [each.resource], "verbs": [each.verb]}
        for each in sorted(allowed_by([role]) - {taken})
    ]


@asynccontextmanager
async def role_without(admin: KubeClient, bound: KubeClient, taken: Access) -> AsyncIterator[None]:
    """Take a right from the controllers for the length of the block; on both its ends the server goes by it."""
    role = await admin.get(CLUSTER_ROLES, "rayfleet-controller")
    await admin.patch(CLUSTER_ROLES, key_of(role), {"rules": without(role, taken)})
    try:
        await until(lambda: may(bound, taken), f"no {taken} any more", holds=lambda it: it == (False,))
        yield
    finally:
        await admin.patch(CLUSTER_ROLES, key_of(role), {"rules": role["rules"]})
    await until(lambda: may(bound, taken), f"{taken} again", holds=lambda it: it == (True,))


async def may(client: KubeClient, access: Access) -> tuple[bool]:
    resource, _, subresource = access.resource.partition("/")
    attributes = {"group": access.group, "resource": resource, "subresource": subresource, "verb": access.verb}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer = json.loads(await client.raw("POST", path, body=json.dumps(review).encode()))
    return (bool(answer["status"]["allowed"]),)


@pytest.mark.parametrize("taken", TAKEN, ids=lambda taken: f"{taken.access.verb}-{taken.access.resource}")
async def test_a_right_that_is_taken_away_is_named_and_its_return_mends_all(
    admin: KubeClient, taken: Taken, caplog: pytest.LogCaptureFixture
) -> None:
    namespace = f"taken-{TAKEN.index(taken)}"
    await admin.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    async with KubeClient(await account_address(admin, "controller")) as bound:
        world = FleetWorld(admin, namespace, controller_client=bound)

        async def said() -> str:
            if taken.where:
                return str((await world.condition(taken.where)).get("message", ""))
            return "".join(str(record.__dict__) for record in caplog.records)

        async with world.running():
            async with role_without(admin, bound, taken.access):
                await admin.create(FLEETS, fleet_manifest(namespace, replicas=1))
                await until(said, f"words on {taken.access}", holds=lambda text: taken.words in text)
            await world.until_complete(1)
            await world.until_route()
