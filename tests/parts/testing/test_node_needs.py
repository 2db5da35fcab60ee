"""What the kernel refuses of that which a real node asks for is named, with its own words."""

from pathlib import Path

import pytest

from rayfleet.testing.realnode.needs import kernel_needs


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose kernel makes no bridge, for anybody; its files lie here."""
    program = tmp_path / "bin" / "unshare"
    program.parent.mkdir()
    script = 'case "$*" in *bridge*) echo "RTNETLINK answers: Operation not supported" >&2; exit 2;; esac'
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def test_what_the_kernel_refuses_is_named_and_nothing_is_left(place: Path) -> None:
    [need] = kernel_needs(place)
    assert need.what == "network bridges (RTNETLINK answers: Operation not supported)"
    assert list(place.iterdir()) == []
