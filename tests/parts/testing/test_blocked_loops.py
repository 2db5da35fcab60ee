"""The detector of blocked event loops is at work in every test."""

import asyncio
from pathlib import Path

import pytest
from blockbuster import BlockingError

from rayfleet.local.supervisor.bootstrap import log_tail


async def test_our_own_code_may_not_read_a_file_in_the_loop(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("the end\n")
    with pytest.raises(BlockingError):
        log_tail(tmp_path / "log")
    assert await asyncio.to_thread(log_tail, tmp_path / "log") == "  the end"
