"""Two API servers for every test here: our embedded one and the real kube-apiserver, one process each per session.

A third is for the real KubeRay operator, which acts on all that is there: it is lent to one file after the other.

Each runs from the first test that needs it to the session's end, so that files which take turns with them start none
anew: a start of the real one with its definitions takes nine seconds of a core. A test leaves nothing that others see:
it has a namespace of its own, and what has none is named after that.
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest

from rayfleet.kube.client import ClientSettings, KubeClient
from rayfleet.kube.config import connect
from rayfleet.manifest.crds import crd_file_name, fleet_crds, foreign_crds
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import FLEETS, NAMESPACES, PODS, RAY_CLUSTERS, REPLICA_SETS
from rayfleet.testing.command_line import Command, in_namespace
from rayfleet.testing.definitions import install, read_definitions
from rayfleet.testing.namespaces import take_away
from rayfleet.testing.nodes import NodeProcess, SharedNode, node_process
from rayfleet.testing.real_kuberay import SharedKubeRay, definitions
from rayfleet.testing.realkube import (
    RealKubeServer,
    default_cache,
    ensure_binaries,
    ensure_kuberay_operator,
    gateway_api_crds,
    kuberay_crds,
)
from rayfleet.testing.waiting import LIMIT_SECONDS

TWO_GPUS = ("--accelerators", "nvidia.com/gpu=2")
_START_LIMIT_SECONDS = 150  # some seconds, with a core of its own
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class BareServer:
    """One that lacks the kinds of others; ``definitions`` would bring them."""

    client: KubeClient
    namespace: str
    definitions: tuple[Json, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServer:
    """One of the two, with all CRDs."""

    name: str
    kubeconfig: Path


BOTH = [pytest.param("embedded"), pytest.param("real", marks=pytest.mark.realkube)]


@pytest.fixture(scope="session")
def api_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ApiServer]]:
    """Gives the one of a name, started when it is first asked for."""
    running: dict[str, ApiServer] = {}
    with ExitStack() as stack:

        def server_of(name: str) -> ApiServer:
            if name not in running:
                kubeconfig = stack.enter_context(started_api_server(name, tmp_path_factory.mktemp(f"api-{name}")))
                crds = (*fleet_crds(), *foreign_definitions(name))
                _in_thread(lambda: asyncio.run(_install(kubeconfig, crds)))
                running[name] = ApiServer(name=name, kubeconfig=kubeconfig)
            return running[name]

        yield server_of


@pytest.fixture(scope="session", params=BOTH)
def api_server(request: pytest.FixtureRequest, api_servers: Callable[[str], ApiServer]) -> ApiServer:
    return api_servers(request.param)


@pytest.fixture(scope="session")
def shared_kuberay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedKubeRay]:
    """The real API server for the real KubeRay operator; what it needs is built once (minutes)."""
    program = ensure_kuberay_operator(default_cache(), progress=print)
    with started_api_server("real", tmp_path_factory.mktemp("api-kuberay")) as kubeconfig:
        _in_thread(lambda: asyncio.run(_install(kubeconfig, definitions(), LIMIT_SECONDS)))
        yield SharedKubeRay(program=program, kubeconfig=kubeconfig)


@pytest.fixture(params=BOTH)
async def bare_server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BareServer]:
    """An API server of a test's own that knows nothing but our kinds yet."""
    with started_api_server(request.param, tmp_path) as kubeconfig:
        async with await connect(kubeconfig) as opened:
            await install(opened, fleet_crds(), _START_LIMIT_SECONDS)
            name = "bare"
            await opened.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            yield BareServer(client=opened, namespace=name, definitions=tuple(foreign_definitions(request.param)))


@pytest.fixture
def kubeconfig(api_server: ApiServer) -> Path:
    return api_server.kubeconfig


@pytest.fixture
async def client(kubeconfig: Path) -> AsyncIterator[KubeClient]:
    # Tests write faster than a controller should.
    settings = ClientSettings(queries_per_second=1000, burst=2000)
    async with await connect(kubeconfig, settings=settings) as opened:
        yield opened


@pytest.fixture
async def namespace(client: KubeClient) -> AsyncIterator[str]:
    """One of the test's own."""
    async with fresh_namespace(client) as name:
        yield name


@asynccontextmanager
async def fresh_namespace(client: KubeClient) -> AsyncIterator[str]:
    """Give a namespace for the length of a block; then all goes from it that stand-ins and nodes of others act on."""
    name = f"test-{uuid4().hex[:10]}"
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    await take_away(client, name, (FLEETS, REPLICA_SETS, RAY_CLUSTERS, PODS))


@pytest.fixture
def command(kubeconfig: Path, namespace: str, tmp_path: Path) -> Command:
    """The command line in the test's namespace, which the context of its kubeconfig names."""
    return Command(kubeconfig=in_namespace(kubeconfig, namespace, tmp_path))


@pytest.fixture(scope="module")
def shared_node(api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedNode]:
    """One for the tests of a file; it is none for a file with pods that another plays the scheduler for."""
    shared = SharedNode(
        kubeconfig=api_server.kubeconfig, make_folder=lambda: tmp_path_factory.mktemp("node"), flags=TWO_GPUS
    )
    yield shared
    _in_thread(lambda: asyncio.run(_end(shared)))


@pytest.fixture
async def node(
    request: pytest.FixtureRequest, shared_node: SharedNode, client: KubeClient, namespace: str
) -> AsyncIterator[NodeProcess]:
    """The node of the file's tests: who stops it, or looks at how it begins, has ``own_node``."""
    failed = request.session.testsfailed
    async with shared_node.lent(client, namespace, is_fit=lambda: request.session.testsfailed == failed) as running:
        yield running


@pytest.fixture
async def own_node(kubeconfig: Path, client: KubeClient, tmp_path: Path) -> AsyncIterator[NodeProcess]:
    async with node_process(client, kubeconfig, tmp_path, TWO_GPUS) as running:
        yield running


def started_api_server(name: str, folder: Path) -> AbstractContextManager[Path]:
    """Return a block in which ``embedded`` or ``real`` runs; it gives the kubeconfig."""
    return _embedded(folder) if name == "embedded" else _real(folder)


def foreign_definitions(name: str) -> Sequence[Json]:
    """Return KubeRay's and the Gateway API's definitions for a server; the real one gets the published ones."""
    return foreign_crds() if name == "embedded" else _published_crds()


@contextmanager
def _real(folder: Path) -> Iterator[Path]:
    with RealKubeServer(ensure_binaries(default_cache(), progress=print), folder) as running:
        yield running.kubeconfig


@contextmanager
def _embedded(folder: Path) -> Iterator[Path]:
    """Run the embedded server as the process that it is in production."""
    command = [sys.executable, "-m", "rayfleet.local.apiserver", "--state", str(folder), "--port", "0"]
    with (folder / "stderr.log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True)
    timer = threading.Timer(_START_LIMIT_SECONDS, process.kill)
    timer.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening "), f"no start: {line!r} {(folder / 'stderr.log').read_text()}"
        timer.cancel()
        yield folder / "kubeconfig"
    finally:
        timer.cancel()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _published_crds() -> list[Json]:
    """Return KubeRay's and the Gateway API's own CRDs, so that what we write is checked by what others enforce.

    Of the kinds that we know: RayJob and RayService alone cost the server more of a core than all else of its start.
    """
    cache = default_cache()
    known = {crd_file_name(crd) for crd in foreign_crds()}
    files = (*kuberay_crds(cache, progress=print), *gateway_api_crds(cache, progress=print))
    return read_definitions(file for file in files if file.name in known)


async def _install(kubeconfig: Path, crds: Sequence[ReadOnlyJson], limit: float = _START_LIMIT_SECONDS) -> None:
    async with await connect(kubeconfig) as client:
        await install(client, crds, limit)


async def _end(shared: SharedNode) -> None:
    async with await connect(shared.kubeconfig) as client:
        await shared.end(client)


def _in_thread(work: Callable[[], T]) -> T:
    """Run ``work`` beside pytest's own event loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()
