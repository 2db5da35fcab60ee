"""The kubectl that is installed and a newer one, each on both servers."""

import os
import shutil
from pathlib import Path
from uuid import uuid4

import pytest

from rayfleet.testing.kubectl import Kubectl
from rayfleet.testing.realkube import RealKubeError, default_cache, ensure_kubectl
from rayfleet.testing.realkube.kubectl import KUBECTL_VERSION


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


@pytest.fixture
def kubectl(program: str, kubeconfig: Path, tmp_path: Path) -> Kubectl:
    environment = {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "HOME": str(tmp_path),
        "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false",
    }
    made = Kubectl(program=program, environment=environment, namespace=f"kubectl-{uuid4().hex[:8]}")
    made.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": made.namespace}})
    return made
