"""The gateway over an API server serves what routes say: the suite's rooms of routes, through either server."""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.kube.conftest import ApiServer

from rayfleet.kube.client import ClientSettings
from rayfleet.kube.config import connect
from rayfleet.model.json import Json
from rayfleet.model.resources import ENDPOINT_SLICES, HTTP_ROUTES, NAMESPACES, REFERENCE_GRANTS, SERVICES
from rayfleet.objects.meta import key_of, name_of
from rayfleet.testing.gateway_process import GatewayProcess
from rayfleet.testing.suites.data_plane.filters import FilterChecks
from rayfleet.testing.suites.data_plane.objects import NAMESPACE, OTHER
from rayfleet.testing.suites.data_plane.plane import DataPlane
from rayfleet.testing.suites.data_plane.routing import RoutingChecks
from rayfleet.testing.suites.data_plane.world import Sockets

KINDS = {each.kind: each for each in (NAMESPACES, SERVICES, ENDPOINT_SLICES, HTTP_ROUTES, REFERENCE_GRANTS)}


def own_address() -> str:
    """Return an address of this machine that is not loopback: a real API server takes no other in a slice."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("192.0.2.1", 9))  # nothing is sent
        return str(sock.getsockname()[0])


async def create(kubeconfig: Path, objects: Sequence[Json]) -> None:
    """Create them, routes last and by their names: where a second passes between two, the older one comes first too."""
    in_order = sorted(objects, key=lambda raw: name_of(raw) if raw["kind"] == HTTP_ROUTES.kind else "")
    settings = ClientSettings(queries_per_second=1000, burst=2000)
    async with await connect(kubeconfig, settings=settings) as client:
        for raw in in_order:
            await client.create(KINDS[raw["kind"]], raw)


async def delete(kubeconfig: Path, objects: Sequence[Json]) -> None:
    """Delete what other tests' gateways would serve; namespaces stay, a server alone does not empty them."""
    async with await connect(kubeconfig) as client:
        for raw in objects:
            if raw["kind"] == HTTP_ROUTES.kind:
                await client.delete(HTTP_ROUTES, key_of(raw))


@contextmanager
def served(kubeconfig: Path, objects: Sequence[Json], folder: Path) -> Iterator[GatewayProcess]:
    """Create the objects, and run a gateway that watches them."""
    with ThreadPoolExecutor(1) as beside:  # pytest's own loop may run in this thread
        beside.submit(asyncio.run, create(kubeconfig, objects)).result()
        try:
            with GatewayProcess(folder, arguments=("--kubeconfig", str(kubeconfig))) as process:
                yield process
        finally:
            beside.submit(asyncio.run, delete(kubeconfig, objects)).result()


class TestOverAnApiServer(RoutingChecks, FilterChecks):
    __test__ = True
    address = own_address()
    kinds = ()

    @pytest.fixture(scope="class")
    @classmethod
    def plane(
        cls, sockets: Sockets, api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[DataPlane]:
        names = ({"metadata": {"name": name}} for name in (NAMESPACE, OTHER))
        spaces = [{"apiVersion": "v1", "kind": NAMESPACES.kind, **each} for each in names]
        with served(api_server.kubeconfig, (*spaces, *sockets.objects()), tmp_path_factory.mktemp("plane")) as plane:
            yield plane
