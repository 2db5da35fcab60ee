"""The suites of the stand-ins held against the real kube-controller-manager.

What they ask of ours, the real one does.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from rayfleet.testing.realkube import (
    default_cache,
    ensure_binaries,
    ensure_controller_manager,
    real_kube_apiserver,
)
from rayfleet.testing.suites.endpoints import EndpointSliceSuite
from rayfleet.testing.suites.garbage import GarbageCollectorSuite
from rayfleet.testing.suites.upkeep import UpkeepSuite

pytestmark = [pytest.mark.realkube, pytest.mark.timeout(900)]

CONTROLLERS = ",".join(
    (
        *("garbage-collector-controller", "namespace-controller", "endpointslice-controller"),
        *("serviceaccount-controller", "node-lifecycle-controller", "disruption-controller"),
    )
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def managed_kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    """A real API server of its own: the real manager would work beside the stand-ins of other tests."""
    binaries = await asyncio.to_thread(ensure_binaries, default_cache(), progress=print)
    program = await asyncio.to_thread(ensure_controller_manager, default_cache(), progress=print)
    folder = tmp_path_factory.mktemp("manager")
    async with real_kube_apiserver(binaries, folder) as server:
        flags = (
            *("--kubeconfig", str(server.kubeconfig), "--controllers", CONTROLLERS, "--leader-elect=false"),
            *("--bind-address", "127.0.0.1", "--secure-port", "0", "--cert-dir", str(folder)),
        )
        with (folder / "manager.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(program, *flags, stdout=log, stderr=log)
        try:
            yield server.kubeconfig
        finally:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 15)
            except TimeoutError:
                process.kill()
                await process.wait()


@pytest.fixture
def kubeconfig(managed_kubeconfig: Path) -> Path:
    """The server of ``client`` and ``namespace``."""
    return managed_kubeconfig


class TestRealGarbageCollector(GarbageCollectorSuite):
    pass


class TestRealEndpointSliceController(EndpointSliceSuite):
    pass


class TestRealChores(UpkeepSuite):
    pass
