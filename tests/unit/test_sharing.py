"""How a run's tests are shared among its workers: the names that tests/conftest.py holds are those of files."""

from pathlib import Path

import pytest
from tests.conftest import (
    KILLS,
    LONGEST,
    OF_BARE_SERVER,
    OF_REAL_KUBERAY,
    REAL_KUBERAY,
    REAL_RAY,
    REAL_SERVER,
    REAL_SERVER_COMPARED,
    shared_whole,
)

ROOT = Path(__file__).parents[2]


def users_of(fixture: str) -> set[str]:
    files = (ROOT / "tests" / "kube").glob("test_*.py")
    return {str(file.relative_to(ROOT)) for file in files if f"{fixture}:" in file.read_text(encoding="utf-8")}


def test_every_file_that_has_a_place_is_there() -> None:
    assert [name for name in (*LONGEST, KILLS) if name.endswith(".py") and not (ROOT / name).is_file()] == []


def test_what_has_a_server_in_common_is_all_that_asks_for_it() -> None:
    assert (users_of("shared_kuberay"), users_of("bare_server")) == (set(OF_REAL_KUBERAY), set(OF_BARE_SERVER))


@pytest.mark.parametrize(
    ("nodeid", "whole"),
    [
        ("tests/e2e/test_drain.py::test_an_undo", REAL_RAY),
        ("tests/e2e/without_ray/test_attacks.py::test_it[a]", "tests/e2e/without_ray/test_attacks.py"),
        ("tests/kube/test_commands.py::test_it[real]", REAL_SERVER),
        ("tests/kube/test_commands.py::test_it[embedded]", "tests/kube/test_commands.py"),
        ("tests/kube/test_commands.py::test_it[surreal-embedded]", "tests/kube/test_commands.py"),
        ("tests/kube/kubectl/test_kubectl_reads.py::test_it[installed-real]", REAL_SERVER_COMPARED),
        ("tests/kube/conformance/test_conf_list.py::test_it[real-2]", REAL_SERVER_COMPARED),
        ("tests/kube/test_real_operator_sizes.py::test_it[real]", REAL_KUBERAY),
        ("tests/kube/test_older_kuberay.py::test_it[real-v1.3.2]", "tests/kube/test_older_kuberay.py"),
        (f"{KILLS}::test_it[creates]", f"{KILLS}::test_it[creates]"),
        ("tests/unit/test_logs.py::test_it[real]", "tests/unit/test_logs.py"),
    ],
)
def test_a_test_is_given_out_with_those_it_shares_a_costly_thing_with(nodeid: str, whole: str) -> None:
    assert shared_whole(nodeid) == whole
