"""One real cluster for all tests here, rayfleet installed on it, and the quickstart's fleet serving.

A machine that cannot run one ends the tests with an exit code of its own and the list of what it lacks. Each step has
a limit, and is told as it happens: who waits sees what for.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.kubernetes.deeds import wait_settled
from tests.kubernetes.installation import install
from tests.kubernetes.prometheus import Prometheus, start

from rayfleet.testing.kubectl import Kubectl
from rayfleet.testing.realkube import default_cache, ensure_kubectl
from rayfleet.testing.realkube.files import Progress
from rayfleet.testing.realkube.processes import Daemon, Keeper
from rayfleet.testing.realnode import EXIT_CODE, NeedsMissing, check_needs
from rayfleet.testing.realnode.prometheus import ensure_prometheus
from rayfleet.testing.waiting import wait_until

ROOT = Path(__file__).parents[2]
START_SECONDS = 3600.0  # what is missing is built first; each step of that has a limit of its own

_MARK = "export KUBECONFIG="


@pytest.fixture(scope="session")
def tell(pytestconfig: pytest.Config) -> Progress:
    """Return what shows a line at once, with the seconds since the first test."""
    capture: Any = pytestconfig.pluginmanager.getplugin("capturemanager")
    started = time.monotonic()

    def told(line: str) -> None:
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            sys.stderr.write(f"\n[{time.monotonic() - started:4.0f} s] {line}")
            sys.stderr.flush()

    return told


@pytest.fixture(scope="session")
def able_machine() -> None:
    """This machine can run a node; where it cannot, all ends here."""
    try:
        check_needs()
    except NeedsMissing as error:
        pytest.exit(str(error), returncode=EXIT_CODE)


@pytest.fixture(scope="session")
def kubectl(able_machine: None, tmp_path_factory: pytest.TempPathFactory, tell: Progress) -> Iterator[Kubectl]:
    """The real kubectl on the real cluster, in the namespace ``default``."""
    folder = tmp_path_factory.mktemp("cluster")
    keeper = Keeper()
    daemon = Daemon.start([sys.executable, "-m", "rayfleet.testing.realnode", "run"], folder=folder, name="cluster")
    keeper.watch(daemon)
    try:
        look = _kubeconfig(daemon, tell)
        kubeconfig = wait_until(look, f"the cluster is up: {daemon.log}", START_SECONDS)
        environment = {**os.environ, "KUBECONFIG": kubeconfig, "HOME": str(folder)}
        program = ensure_kubectl(default_cache(), progress=tell)
        yield Kubectl(program=str(program), environment=environment, namespace="default")
    finally:
        tell("ending the cluster")
        daemon.end(grace=timedelta(seconds=60))
        keeper.dismiss()
        tell("the cluster is gone\n")


@pytest.fixture(scope="session")
def installed(kubectl: Kubectl, tell: Progress) -> Kubectl:
    """Controllers and gateway are there, by Helm, which waited for them."""
    tell("installing the chart")
    install(kubectl)
    tell("the chart is installed")
    return kubectl


@pytest.fixture(scope="session")
def prometheus(installed: Kubectl, tell: Progress) -> Prometheus:
    """A Prometheus that has looked on since the installation."""
    return start(installed, ensure_prometheus(default_cache(), progress=tell), tell)


@pytest.fixture(scope="session")
def fleet(installed: Kubectl, prometheus: Prometheus, tell: Progress) -> str:
    """Return the name of the quickstart's fleet, which is Available; Prometheus has seen how it came to be."""
    installed("apply", "-f", str(ROOT / "examples" / "01-quickstart" / "fleet.yaml"))
    wait_settled(installed, "smollm2")
    tell("the quickstart's fleet is available")
    return "smollm2"


def _kubeconfig(daemon: Daemon, tell: Progress) -> Callable[[], str]:
    """Return what tells each new line of the daemon's log, and returns the kubeconfig's path when it is there."""
    shown = 0

    def look() -> str:
        nonlocal shown
        assert daemon.exit_code() is None, daemon.describe()
        lines = daemon.log.read_text(encoding="utf-8").splitlines()
        for line in lines[shown:]:
            tell(line)
        shown = len(lines)
        return next((line.removeprefix(_MARK) for line in lines if line.startswith(_MARK)), "")

    return look
