"""Progress on a terminal and elsewhere (rayfleet.cli.phases)."""

import io
import re

from rayfleet.cli.phases import Phases
from rayfleet.cli.settings import read_cli_settings


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_each_new_detail_is_a_line_and_the_end_has_its_seconds() -> None:
    stream = io.StringIO()
    phases = Phases(stream)
    phases.begin("engine", "0/1")
    phases.update("0/1")
    phases.update("1/1")
    phases.end("ready")
    lines = stream.getvalue().splitlines()
    assert [line.split() for line in lines[:2]] == [["engine", "0/1"], ["engine", "1/1"]]
    assert re.fullmatch(r"  - engine +\d\.\d s  ready", lines[2])
    assert "\x1b" not in stream.getvalue()


def test_a_phase_that_is_abandoned_is_marked() -> None:
    stream = io.StringIO()
    phases = Phases(stream)
    phases.begin("engine", "0/1")
    phases.abandon()
    phases.abandon()
    assert stream.getvalue().splitlines()[-1].startswith("  ! engine")


def test_on_a_terminal_the_line_is_written_anew_and_colour_can_be_refused() -> None:
    coloured, plain = Terminal(), Terminal()
    for stream, is_plain in ((coloured, False), (plain, True)):
        phases = Phases(stream, is_plain=is_plain)
        phases.begin("model", "x")
        phases.end()
    assert "\r\x1b[2K" in plain.getvalue()
    assert "\x1b[32m" in coloured.getvalue()
    assert "\x1b[32m" not in plain.getvalue()
    assert "✓ model" in plain.getvalue()


def test_no_color_is_read() -> None:
    assert read_cli_settings({"NO_COLOR": "1"}).is_plain
    assert not read_cli_settings({}).is_plain
