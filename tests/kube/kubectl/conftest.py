"""The kubectl that is installed and a newer one, each on both servers."""

import os
import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest
from tests.kube.conftest import ApiServer

from rayfleet.testing.kubectl import Kubectl
from rayfleet.testing.realkube import RealKubeError, default_cache, ensure_kubectl
from rayfleet.testing.realkube.kubectl import KUBECTL_VERSION
from rayfleet.testing.waiting import wait_until


@pytest.fixture(scope="session", params=["installed", KUBECTL_VERSION])
def program(request: pytest.FixtureRequest) -> str:
    if request.param == "installed":
        found = shutil.which("kubectl")
        if found is None:
            pytest.skip("no kubectl is installed; the other version is fetched")
        return found
    try:
        return str(ensure_kubectl(default_cache(), progress=print))
    except RealKubeError as error:
        pytest.skip(f"kubectl cannot be fetched: {error}")


@pytest.fixture(scope="session")
def server_with_schemas(program: str, api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kubeconfig of a server that tells of our kinds: it serves a new kind some moments before it tells of it."""

    def explained() -> str:
        home = str(tmp_path_factory.mktemp("home"))  # kubectl keeps there what it was told
        environment = {**os.environ, "KUBECONFIG": str(api_server.kubeconfig), "HOME": home}
        command = [program, "explain", "rayclusterfleet.spec"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout

    wait_until(explained, "the server tells of fleets")
    return api_server.kubeconfig


@pytest.fixture
def kubectl(program: str, server_with_schemas: Path, tmp_path: Path) -> Kubectl:
    environment = {
        **os.environ,
        "KUBECONFIG": str(server_with_schemas),
        "HOME": str(tmp_path),
        "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false",
    }
    made = Kubectl(program=program, environment=environment, namespace=f"kubectl-{uuid4().hex[:8]}")
    made("create", "namespace", made.namespace)  # an apply reads all schemas first, a quarter of a second of a core
    return made
