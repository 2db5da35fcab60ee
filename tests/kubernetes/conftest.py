"""One real cluster for all tests here, rayfleet installed on it, and the quickstart's fleet serving.

A machine that cannot run one ends the tests with an exit code of its own and the list of what it lacks.
"""

import os
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.kubernetes.installation import CONTROLLERS, GATEWAY, NAMESPACE, printed_objects

from rayfleet.testing.kubectl import Kubectl
from rayfleet.testing.realkube import default_cache, ensure_kubectl
from rayfleet.testing.realkube.processes import Daemon, Keeper
from rayfleet.testing.realnode import EXIT_CODE, NeedsMissing, check_needs
from rayfleet.testing.waiting import wait_until

ROOT = Path(__file__).parents[2]
START_SECONDS = 3600.0  # what is missing is built first
LIMIT_SECONDS = 900.0

_MARK = "export KUBECONFIG="


@pytest.fixture(scope="session")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """The real kubectl on the real cluster, in the namespace ``default``."""
    try:
        check_needs()
    except NeedsMissing as error:
        pytest.exit(str(error), returncode=EXIT_CODE)
    folder = tmp_path_factory.mktemp("cluster")
    keeper = Keeper()
    daemon = Daemon.start([sys.executable, "-m", "rayfleet.testing.realnode", "run"], folder=folder, name="cluster")
    keeper.watch(daemon)
    try:
        kubeconfig = wait_until(lambda: _kubeconfig(daemon), f"the cluster is up: {daemon.log}", START_SECONDS)
        environment = {**os.environ, "KUBECONFIG": kubeconfig, "HOME": str(folder)}
        program = ensure_kubectl(default_cache(), progress=print)
        yield Kubectl(program=str(program), environment=environment, namespace="default")
    finally:
        daemon.end(grace=timedelta(seconds=60))
        keeper.dismiss()


@pytest.fixture(scope="session")
def installed(kubectl: Kubectl) -> Kubectl:
    """Controllers and gateway are available."""
    system = Kubectl(program=kubectl.program, environment=kubectl.environment, namespace=NAMESPACE)
    system("apply", "--server-side", "-f", "-", stdin=printed_objects())
    for name in (CONTROLLERS, GATEWAY):
        _wait(system, f"deployment/{name}")
    return kubectl


@pytest.fixture(scope="session")
def fleet(installed: Kubectl) -> str:
    """Return the name of the quickstart's fleet, which is Available."""
    installed("apply", "-f", str(ROOT / "examples" / "01-quickstart" / "fleet.yaml"))
    _wait(installed, "rcf/smollm2")
    return "smollm2"


def _kubeconfig(daemon: Daemon) -> str:
    assert daemon.exit_code() is None, daemon.describe()
    lines = daemon.log.read_text(encoding="utf-8").splitlines()
    return next((line.removeprefix(_MARK) for line in lines if line.startswith(_MARK)), "")


def _wait(kubectl: Kubectl, name: str) -> None:
    def conditions() -> list[dict[str, str]]:
        found: list[dict[str, str]] = kubectl.object("get", name).get("status", {}).get("conditions", [])
        return found

    wait_until(
        conditions,
        f"{name} is Available",
        LIMIT_SECONDS,
        holds=lambda seen: any(each["type"] == "Available" and each["status"] == "True" for each in seen),
        every=0.5,
    )
