"""An API server that does not come up (rayfleet.local.supervisor.bootstrap)."""

from pathlib import Path

import pytest

from rayfleet.local.supervisor.bootstrap import log_tail, wait_for_api_server
from rayfleet.model.errors import EnvironmentProblem


async def test_a_server_that_keeps_dying_is_not_waited_for_and_its_log_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "apiserver.log"
    log.write_text("ImportError: no module named x\n")
    with pytest.raises(EnvironmentProblem, match=r"does not start; the end of its log:\n  ImportError") as caught:
        await wait_for_api_server(tmp_path / "kubeconfig", log, lambda: 3)
    assert str(log) in caught.value.way_out


def test_the_end_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert log_tail(log) == "  (no log)"
    log.write_text("")
    assert log_tail(log) == "  (empty)"
    log.write_text("".join(f"{number}\n" for number in range(20)))
    assert log_tail(log, lines=2) == "  18\n  19"
