"""The rendered roles are all that controllers and gateway need, and no more: the real server's audit log says so.

Both have the rights of their service accounts alone, in a life of fleets that asks for everything: created, rolled with
warm nodes, rolled back, scaled, drained, adopted, rebuilt, their objects spoilt by others, deleted; a leader that goes
and one that comes. Each create is sent twice, as by a proxy that lost the reply. A right that is taken away is named
where a person looks, and its return mends all.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from rayfleet.controllers.fleet_source import FleetSources
from rayfleet.controllers.run import ControllerSettings, lease_settings, run_controllers
from rayfleet.deploy.install import DEFAULT_NAMESPACE, install_objects
from rayfleet.kube.client import ClientSettings, KubeClient
from rayfleet.kube.config import connect
from rayfleet.kube.requests import Request
from rayfleet.manifest.crds import fleet_crds, foreign_crds
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import EVENTS, FLEETS, GATEWAYS, NAMESPACES
from rayfleet.objects.meta import key_of
from rayfleet.testing.definitions import install
from rayfleet.testing.fleet_life import Life
from rayfleet.testing.fleet_world import FleetWorld, fleet_manifest
from rayfleet.testing.gateway_process import GatewayProcess
from rayfleet.testing.installed_roles import (
    CLUSTER_ROLES,
    Access,
    account_address,
    account_token,
    allowed_by,
    install_roles,
    rendered_roles,
)
from rayfleet.testing.realkube import RealKubeServer, default_cache, ensure_binaries
from rayfleet.testing.realkube.audit import AuditLog
from rayfleet.testing.realkube.credentials import render_kubeconfig, write_private
from rayfleet.testing.stand_ins import running_stand_ins
from rayfleet.testing.waiting import until

pytestmark = [pytest.mark.realkube, pytest.mark.timeout(900)]
OURS = "orchestration.aibrix.ai"
_ASKED_BESIDE = frozenset(
    Access(OURS, f"{kind}/finalizers", "update") for kind in ("rayclusterfleets", "rayclusterreplicasets")
)
"""Admission asks the authorizer for these (may the owner be blocked?): they stand in no audit log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """A real API server that checks owners as OpenShift's does, with our definitions and roles, and its audit log."""

    kubeconfig: Path
    log: AuditLog


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    folder = tmp_path_factory.mktemp("audited")
    log = AuditLog(folder)
    flags = (*log.flags, "--enable-admission-plugins=OwnerReferencesPermissionEnforcement")
    binaries = ensure_binaries(default_cache(), progress=print)
    with RealKubeServer(binaries, folder, apiserver_flags=flags) as running:
        asyncio.run(_prepare(running.kubeconfig))
        yield Audited(kubeconfig=running.kubeconfig, log=log)


async def _prepare(kubeconfig: Path) -> None:
    async with await connect(kubeconfig) as client:
        await install(client, (*fleet_crds(), *foreign_crds()))
        await install_roles(client)
        objects = await asyncio.to_thread(install_objects, {"gatewayApi": {"className": "rayfleet"}})
        gateway = next(each for each in objects if each["kind"] == GATEWAYS.kind)
        await client.create(GATEWAYS, gateway)


@pytest.fixture
async def admin(audited: Audited) -> AsyncIterator[KubeClient]:
    settings = ClientSettings(queries_per_second=1000, burst=2000)
    async with await connect(audited.kubeconfig, settings=settings) as client:
        yield client


class TwiceClient(KubeClient):
    """Sends each create twice and tells of the second answer: the first was lost."""

    async def send(self, request: Request) -> bytes:
        """Send a request."""
        answer = await super().send(request)
        return await super().send(request) if request.method == "POST" else answer


@asynccontextmanager
async def controllers(client: KubeClient, identity: str) -> AsyncIterator[None]:
    """Run the controllers as they are installed, in all namespaces, with a lease."""
    settings = ControllerSettings(lease=lease_settings(DEFAULT_NAMESPACE, identity))
    running = asyncio.ensure_future(run_controllers(client, settings, FleetSources(engines={})))
    try:
        yield
    finally:
        running.cancel()
        answers = await asyncio.gather(running, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError), answers


async def test_the_roles_are_what_a_life_of_fleets_asks_for(
    audited: Audited, admin: KubeClient, tmp_path: Path
) -> None:
    await admin.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "lived"}})
    life = Life(admin, "lived")
    kubeconfig = tmp_path / "gateway-kubeconfig"
    token, authority = await account_token(admin, "gateway"), admin.address.ca_data.encode()
    write_private(kubeconfig, render_kubeconfig(url=admin.address.url, token=token, ca_pem=authority))
    audited.log.begin()
    with GatewayProcess(tmp_path, arguments=("--kubeconfig", str(kubeconfig))):
        async with (
            TwiceClient(await account_address(admin, "controller")) as bound,
            running_stand_ins(admin),
            life.kubelet.running(),
        ):
            async with controllers(bound, "one"):
                await life.begins()
                await life.is_told_of()
                await life.rolls("2.60.1")
                await life.goes_back()
            async with controllers(bound, "two"):
                await life.forgets()
                await life.scales(3)
                await life.scales(2)
                await life.loses_a_replica()
                await life.is_let_go_and_taken()
                await life.is_spoilt()
                await life.scales(1)
                await life.names_no_model()
                await life.ends()
    for component in ("controller", "gateway"):
        asked = await asyncio.to_thread(audited.log.of_account, DEFAULT_NAMESPACE, f"rayfleet-{component}")
        granted = allowed_by(await asyncio.to_thread(rendered_roles, component)) - _ASKED_BESIDE
        assert asked.refused == set()
        assert sorted(granted - asked.allowed) == [], f"{component}: granted and never used"
        assert sorted(asked.allowed - granted) == [], f"{component}: used by other rights than the role's"


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
        access=Access(OURS, "rayclusterreplicasets/finalizers", "update"),
        words='cannot update resource "rayclusterreplicasets/finalizers"',
        where="ReplicaFailure",
    ),
    Taken(
        access=Access(OURS, "rayclusterfleets/finalizers", "update"),
        words='cannot update resource "rayclusterfleets/finalizers"',
        where="Progressing",
    ),
    Taken(
        access=Access(OURS, "rayclusterreplicasets", "create"),
        words='cannot create resource "rayclusterreplicasets"',
        where="Progressing",
    ),
    Taken(
        access=Access(OURS, "rayclusterfleets/status", "patch"),
        words='cannot patch resource "rayclusterfleets/status"',
    ),
    Taken(
        access=Access(OURS, "rayclusterreplicasets/status", "patch"),
        words='cannot patch resource "rayclusterreplicasets/status"',
    ),
    Taken(access=Access("", "services", "create"), words='cannot create resource "services"', where="WriteRefused"),
    Taken(
        access=Access("policy", "poddisruptionbudgets", "create"),
        words='cannot create resource "poddisruptionbudgets"',
        where="WriteRefused",
    ),
    Taken(
        access=Access("gateway.networking.k8s.io", "httproutes", "create"),
        words='cannot create resource "httproutes"',
        where="Routed",
    ),
)
"""Without its status's right an object can say nothing in a condition: the event does."""


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
async def test_a_right_that_is_taken_away_is_named_and_its_return_mends_all(admin: KubeClient, taken: Taken) -> None:
    namespace = f"taken-{TAKEN.index(taken)}"
    await admin.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    async with KubeClient(await account_address(admin, "controller")) as bound:
        world = FleetWorld(admin, namespace, controller_client=bound)

        async def told() -> list[str]:
            return [each.get("message", "") for each in await world.objects(EVENTS)]

        async def said() -> list[str]:
            return [str((await world.condition(taken.where)).get("message", ""))] if taken.where else await told()

        def is_named(texts: Sequence[str]) -> bool:
            return any(taken.words in text for text in texts)

        async with world.running():
            async with role_without(admin, bound, taken.access):
                await admin.create(FLEETS, fleet_manifest(namespace))
                await until(said, f"words on {taken.access}", holds=is_named)
                await until(told, f"an event on {taken.access}", holds=is_named)
            await world.until_complete(2)
            await world.until_route()
