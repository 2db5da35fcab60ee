"""For every test: a call of our own code that blocks a running event loop fails it, and suites show their assertions.

``blockbuster`` wraps what blocks (sleep, files, sockets, SQLite, locks, input) and raises BlockingError when one of our
packages makes such a call and a loop runs in the thread; tests themselves and the test kit may block. Processes that a
test starts are not watched. What may block all the same stands below, with the reason. No example of a property has a
time limit, nor has its making: a busy machine is no fault.

Files go to several workers whole and the longest first. What needs a costly thing goes to one worker whole, so that
there is one of it: real Ray (each such file takes a core or more, and says how long things take) and the real API
servers that live as long as a run.
"""

import gc
import os
import re
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

# Go programs that live for a test or two (API servers, etcd, kubectl) spend a fifth of their time on garbage that would
# fit into memory.
os.environ.setdefault("GOGC", "400")
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
pytest.register_assert_rewrite("rayfleet.testing.suites")

OURS = ["rayfleet", "rayfleet_gateway", "rayfleet_sidecar", "rayfleet_llamacpp", "rayfleet_models", "rayfleet_vllm"]
MAY_BLOCK: tuple[tuple[str, set[str]], ...] = (
    # Lines of a log go to stderr at once: a queue before it would lose the last ones of a process that dies.
    ("logging/__init__.py", {"handle"}),
    # argparse looks for a translation of its texts, once.
    ("gettext.py", {"find"}),
    # The kernel answers from memory; a thread would cost more.
    ("rayfleet/local/proc.py", {"start_ticks", "parents", "process_ids"}),
    ("rayfleet/local/node/processes.py", {"process_environment", "_catches"}),
    # A folder and a log for a new process, and the moment until it has become the program: some milliseconds by fork.
    ("rayfleet/local/node/processes.py", {"start"}),
    # The node's own notes, some hundred bytes each: the next step may be taken only when the last one is written down.
    ("rayfleet/local/node/container_state.py", {"write_state", "read_state", "forget_state"}),
    # Whether folders are there, and making one: a stat costs less than a thread.
    ("rayfleet/local/node/configuring.py", {"configured"}),
    # One connection, one writer, 0.1 ms a transaction; the order of writes is the order of versions.
    ("rayfleet/local/apiserver/storage/storage.py", {"write", "remove", "_transaction"}),
    # Once, while a process is composed: nothing else runs in its loop yet.
    ("rayfleet/local/apiserver/server.py", {"running_server"}),
    ("rayfleet/local/apiserver/kinds/schemas.py", {"load_schemas"}),
    ("rayfleet/plugin/registry.py", {"load"}),
    ("rayfleet_gateway/state/plugins.py", {"load_profiles"}),
    # The official package's loader reads the file for itself, for users with an exec plugin or an auth provider.
    ("rayfleet/kube/config.py", {"_borrowed_address"}),
    # A file of the package itself, kept from then on.
    ("rayfleet/plugin/rank_frame.py", {"_watch_text"}),
    ("rayfleet/plugin/ray_frame.py", {"_watch_text"}),
)

# What is given out whole, the longest first: what comes last and alone keeps one of several workers busy and the others
# idle. A file that is not here stands for itself; tests of KILLS are given out one by one, behind what is long.
REAL_RAY, REAL_KUBERAY = "real Ray", "real KubeRay"
REAL_SERVER, REAL_SERVER_COMPARED = "real API server", "real API server, compared"
LONGEST = (
    REAL_RAY,
    REAL_SERVER,
    REAL_SERVER_COMPARED,
    "tests/e2e/without_ray/test_attacks.py",
    REAL_KUBERAY,
    "tests/kube/test_controllers_server_away.py",
    "tests/e2e/without_ray/test_up_refused.py",
)
KILLS = "tests/kube/test_controllers_kills.py"
OF_REAL_KUBERAY = (
    "tests/kube/test_controllers_pod_security.py",
    "tests/kube/test_controllers_real_kuberay.py",
    "tests/kube/test_real_operator_refusals.py",
    "tests/kube/test_real_operator_sizes.py",
    "tests/kube/test_standin_real_operator.py",
)
# Each test of these has an API server of its own.
OF_BARE_SERVER = ("tests/kube/test_controllers_missing_kinds.py", "tests/kube/test_older_kuberay.py")
OF_REAL_SERVER = re.compile(r"[\[-]real[\]-]")


class Sharing(LoadFileScheduling):  # type: ignore[misc]  # xdist publishes no types
    """Of what is given out whole."""

    def _split_scope(self, nodeid: str) -> str:
        return shared_whole(nodeid)


def shared_whole(nodeid: str) -> str:
    """Return the name of what a test is given out with: its file's path, or that of a group of files."""
    file = nodeid.partition("::")[0]
    match file.split("/")[:-1]:
        case ["tests", "e2e"]:
            return REAL_RAY
        case _ if file in OF_REAL_KUBERAY:
            return REAL_KUBERAY
        case ["tests", "kube"] if OF_REAL_SERVER.search(nodeid) and file not in OF_BARE_SERVER:
            return REAL_SERVER
        case ["tests", "kube", "conformance" | "kubectl"] if OF_REAL_SERVER.search(nodeid):
            return REAL_SERVER_COMPARED
        case _:
            return nodeid if file == KILLS else file


def place(nodeid: str) -> int:
    """Return where a test comes in the order of a run."""
    whole = shared_whole(nodeid)
    if whole in LONGEST:
        return LONGEST.index(whole)
    return len(LONGEST) + (0 if whole.startswith(KILLS) else 2 if is_fast(nodeid) else 1)


def is_fast(nodeid: str) -> bool:
    return nodeid.startswith(("tests/unit/", "tests/parts/", "tests/golden/", "tests/property/"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Sharing | None:
    """Share among workers where files are asked for."""
    return Sharing(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what is long, each whole, and last what is quick and fills the gaps."""
    items.sort(key=lambda item: place(item.nodeid))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Look for no garbage among what lives as long as the run, modules and thousands of tests: a tenth of its work."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def blocked_loops_fail() -> Iterator[None]:
    with blockbuster_ctx(OURS, excluded_modules=["rayfleet.testing"]) as detector:
        for function in detector.functions.values():
            for file, functions in MAY_BLOCK:
                function.can_block_in(file, functions)
        yield
