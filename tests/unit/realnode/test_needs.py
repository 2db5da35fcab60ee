"""What a machine lacks for a real node: each need is named with its way out, and the exit code is its own."""

import os
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from rayfleet.testing.realkube import RealKubeError
from rayfleet.testing.realnode import EXIT_CODE, __main__
from rayfleet.testing.realnode.base import debian_suite
from rayfleet.testing.realnode.needs import Need, NeedsMissing, missing_needs


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has all programs and plugins, and the hierarchies of cgroup v1."""
    for name in ("runc", "iptables", "nft", "conntrack", "mmdebstrap", "ip", "unshare", "nsenter"):
        _file(tmp_path / "bin" / name)
    for name in ("bridge", "host-local", "loopback", "portmap"):
        _file(tmp_path / "cni" / name)
    for name in ("cpu", "cpuset", "memory", "pids", "devices", "freezer"):
        _file(tmp_path / "cgroups" / name / "tasks")
    (tmp_path / "os-release").write_text("ID=debian\nVERSION_CODENAME=bookworm\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def _file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    path.chmod(0o755)


def _needs(machine: Path) -> list[str]:
    return [need.what for need in _all_needs(machine) if not need.what.startswith(("root", "namespaces", "room"))]


def _all_needs(machine: Path) -> Sequence[Need]:
    return missing_needs(
        cgroups=machine / "cgroups", cni=machine / "cni", place=machine, release=machine / "os-release"
    )


def test_a_machine_that_has_everything_lacks_nothing(machine: Path) -> None:
    assert _needs(machine) == []


def test_packages_that_are_missing_are_named_together(machine: Path) -> None:
    (machine / "bin" / "nft").unlink()
    (machine / "bin" / "runc").unlink()
    (machine / "cni" / "portmap").unlink()
    assert _needs(machine) == ["Debian's packages containernetworking-plugins nftables runc"]


def test_a_hierarchy_that_is_missing_is_named(machine: Path) -> None:
    (machine / "cgroups" / "memory" / "tasks").unlink()
    assert _needs(machine) == ["cgroups (memory)"]


def test_the_one_hierarchy_of_version_two_is_enough(machine: Path) -> None:
    (machine / "cgroups" / "memory" / "tasks").unlink()
    (machine / "cgroups" / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    assert _needs(machine) == []
    (machine / "cgroups" / "cgroup.controllers").write_text("cpu memory\n")
    assert _needs(machine) == ["cgroups (cpuset, pids)"]


def test_a_user_who_is_not_root_is_told_so(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "root (this is user 1000)" in [need.what for need in _all_needs(machine)]


def test_a_full_disk_is_a_need(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=1_500_000_000))
    assert "room (1.5 GB)" in [need.what for need in _all_needs(machine)]


def test_another_distribution_is_a_need(machine: Path) -> None:
    (machine / "os-release").write_text("ID=fedora\n")
    assert _needs(machine) == [
        "Debian (the base image is made from this machine's own Debian, and this machine has none)"
    ]


def test_another_kind_of_machine_is_a_need(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert _needs(machine) == ["x86_64 (this is aarch64)"]


def test_a_command_that_cannot_run_here_ends_with_a_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lacks() -> None:
        raise NeedsMissing([Need(what="root (this is user 1000)", way_out="run it as root")])

    monkeypatch.setattr(__main__, "check_needs", lacks)
    monkeypatch.setattr("sys.argv", ["realnode", "build"])
    assert __main__.main() == EXIT_CODE == 69
    assert (
        "no real Kubernetes node can run here:\n  - root (this is user 1000): run it as root" in capsys.readouterr().err
    )


def test_packages_are_printed_alone_for_a_script_that_installs_them(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (machine / "bin" / "nft").unlink()
    monkeypatch.setattr(__main__, "CNI_FOLDER", machine / "nothing")
    monkeypatch.setattr("sys.argv", ["realnode", "packages"])
    assert __main__.main() == 0
    assert capsys.readouterr().out == "containernetworking-plugins\nnftables\n"


def test_the_base_is_of_this_machines_debian() -> None:
    assert debian_suite('ID=debian\nVERSION_CODENAME=bookworm\nNAME="Debian"\n') == "bookworm"
    with pytest.raises(RealKubeError, match="this machine has none"):
        debian_suite("ID=ubuntu\nVERSION_CODENAME=noble\n")
