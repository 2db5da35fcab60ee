"""Starts that fail: each says why, and leaves no process. The two programs are scripts; the processes are real."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from rayfleet.testing.realkube import Binaries, RealKubeServer, ServerStartError, real_kube_apiserver
from rayfleet.testing.waiting import until

_SHORT = timedelta(seconds=2)
_RUN_FOREVER = (
    'echo $$ > "$(basename "$0").pid.new"; mv "$(basename "$0").pid.new" "$(basename "$0").pid"; exec sleep 600'
)

_AFTER_ETCD = "while [ ! -e etcd.pid ]; do sleep 0.02; done"


def _binaries(folder: Path, *, etcd: str = _RUN_FOREVER, apiserver: str = _RUN_FOREVER) -> Binaries:
    folder.mkdir()
    for name, script in (("etcd", etcd), ("kube-apiserver", apiserver)):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return Binaries(etcd=folder / "etcd", kube_apiserver=folder / "kube-apiserver")


def _is_gone(pid_file: Path) -> bool:
    try:
        os.kill(int(pid_file.read_text()), 0)
    except ProcessLookupError:
        return True
    return False


def test_a_server_that_ends_shows_the_end_of_its_log(tmp_path: Path) -> None:
    binaries = _binaries(tmp_path / "bin", apiserver=f"{_AFTER_ETCD}; echo 'unknown flag: --colour' >&2; exit 3")
    server = RealKubeServer(binaries, tmp_path / "work", apiserver_flags=("--colour",))
    with pytest.raises(ServerStartError) as caught:
        server.start()
    assert "kube-apiserver ended while starting (exit code 3):\n    unknown flag: --colour" in str(caught.value)
    assert str(tmp_path / "work" / "kube-apiserver.log") in str(caught.value)
    assert _is_gone(tmp_path / "work" / "etcd.pid")


def test_a_start_has_a_limit_and_shows_both_logs(tmp_path: Path) -> None:
    binaries = _binaries(tmp_path / "bin", etcd=f"echo waiting for a leader; {_RUN_FOREVER}")
    server = RealKubeServer(binaries, tmp_path / "work")
    with pytest.raises(ServerStartError, match="did not get ready in time") as caught:
        server.start(limit=_SHORT)
    assert "waiting for a leader" in str(caught.value)
    for name in ("etcd", "kube-apiserver"):
        assert _is_gone(tmp_path / "work" / f"{name}.pid")


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    binaries = _binaries(tmp_path / "bin")
    binaries.kube_apiserver.unlink()
    with pytest.raises(ServerStartError, match="bin/kube-apiserver cannot be started"):
        RealKubeServer(binaries, tmp_path / "work").start(limit=_SHORT)


def test_a_port_that_was_taken_meanwhile_is_another_the_next_time(tmp_path: Path) -> None:
    taken = 'echo "$@" >> ports; echo "listen tcp: bind: address already in use" >&2; exit 1'
    server = RealKubeServer(_binaries(tmp_path / "bin", apiserver=taken), tmp_path / "work")
    with pytest.raises(ServerStartError, match="address already in use"):
        server.start()
    tries = (tmp_path / "work" / "ports").read_text().splitlines()
    assert len(tries) == 3
    assert len(set(tries)) == 3


def test_a_work_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("a file")
    with pytest.raises(ServerStartError, match=f"cannot write to {tmp_path / 'work'}"):
        RealKubeServer(_binaries(tmp_path / "bin"), tmp_path / "work").start()


def test_a_closed_server_starts_nothing(tmp_path: Path) -> None:
    server = RealKubeServer(_binaries(tmp_path / "bin"), tmp_path / "work")
    server.close()
    with pytest.raises(ServerStartError, match="closed"):
        server.start()
    assert not (tmp_path / "work").exists()


async def test_a_start_that_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    work = tmp_path / "work"

    async def use() -> None:
        async with real_kube_apiserver(_binaries(tmp_path / "bin"), work):
            pytest.fail("it never gets ready")

    async with asyncio.timeout(30):
        task = asyncio.create_task(use())
        await until(
            lambda: (work / "kube-apiserver.pid").exists() and (work / "etcd.pid").exists(), "both programs run", 30
        )
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert _is_gone(work / "etcd.pid")
    assert _is_gone(work / "kube-apiserver.pid")


def test_the_servers_of_a_killed_test_run_are_ended(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from rayfleet.testing.realkube.processes import Daemon, Keeper;"
        "keeper = Keeper(); daemon = Daemon.start(['sleep', '600'], folder=Path(sys.argv[1])); keeper.watch(daemon);"
        "print(daemon.process_id, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        daemon = os.pidfd_open(int(run.stdout.readline()))
        run.send_signal(signal.SIGKILL)
    try:
        ended, _, _ = select.select([daemon], [], [], 20)
    finally:
        os.close(daemon)
    assert ended
