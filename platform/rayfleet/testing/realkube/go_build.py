"""Programs built once from pinned Go modules, each under another name until it has shown that it works.

A module's ``go.mod`` and ``go.sum`` fix every byte of the source. A program is built under another name, asked for its
version, and only then gets its own name: what lies in the cache works.
"""

import errno
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from os import getpid, killpg
from pathlib import Path

from rayfleet.testing.realkube.errors import RealKubeError
from rayfleet.testing.realkube.files import Progress, exclusive_lock, is_program, last_lines
from rayfleet.testing.realkube.settings import go_environment
from rayfleet.testing.realkube.toolchain import find_go

_BUILD_LIMIT = timedelta(minutes=45)
_REPORT_SECONDS = 10.0
_NEEDED_BYTES = 1 << 30  # the largest two programs, 133 MB, and what Go writes while it links them


_Report = Callable[[float], None]
"""Takes the seconds since the start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program: the folder that holds its ``go.mod``, its main package, and what it is built and tried with."""

    name: str
    version: str
    module: Path
    package: str
    link_flags: str = "-s -w"
    tags: str = ""
    proof: str = "--version"  # what it must understand


def ensure_programs(folder: Path, programs: Sequence[Program], *, what: str, cache: Path, progress: Progress) -> None:
    """Build into ``folder`` those of ``programs`` that it lacks; processes that ask at the same time build once.

    ``what`` names them all in messages. Raises ``RealKubeError`` with the last lines of what failed: no Go, no space,
    no module, no build.
    """
    if missing_programs(folder, programs):
        with exclusive_lock(folder / ".lock", what=what, progress=progress):
            _build_missing(folder, programs, cache=cache, progress=progress)


def missing_programs(folder: Path, programs: Sequence[Program]) -> tuple[Program, ...]:
    """Return those of ``programs`` that ``folder`` lacks, same order."""
    return tuple(program for program in programs if not is_program(folder / program.name))


def _build_missing(folder: Path, programs: Sequence[Program], *, cache: Path, progress: Progress) -> None:
    for left in folder.glob("*.partial"):  # of a build that was killed; the lock is ours
        left.unlink()
    missing = missing_programs(folder, programs)
    if not missing:
        return  # built by the process that we waited for
    go = find_go(cache, progress=progress)
    for number, program in enumerate(missing, start=1):
        free = shutil.disk_usage(folder).free
        if free < _NEEDED_BYTES:
            raise _no_space(f"{folder} has {free / 1e6:.0f} MB free")
        title = f"{program.name} {program.version} ({number}/{len(missing)})"
        progress(f"building {title} from Go modules: minutes the first time, then never again")
        started = time.monotonic()
        _build(program, go=go, folder=folder, report=partial(_report, progress, title))
        progress(f"built {title} in {time.monotonic() - started:.0f} s")


def _report(progress: Progress, title: str, seconds: float) -> None:
    progress(f"building {title}: {seconds:.0f} s so far")


def _build(program: Program, *, go: Path, folder: Path, report: _Report) -> None:
    log = folder / f"{program.name}.build.txt"
    unproved = folder / f"{program.name}.{getpid()}.partial"
    command = [
        *_politely(),
        *(str(go), "build", "-mod=readonly", "-buildvcs=false", "-trimpath"),
        *(("-tags", program.tags) if program.tags else ()),
        *("-ldflags", program.link_flags, "-o", str(unproved), program.package),
    ]
    try:
        code = _run_logged(command, folder=program.module, log=log, report=report)
        if code == 0:
            code = _run_logged([str(unproved), program.proof], folder=folder, log=log, report=report)
        if code != 0:
            raise _build_failure(program, code, log)
        unproved.rename(folder / program.name)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _no_space(str(error)) from error
        raise RealKubeError(f"{program.name} {program.version} cannot be built: {error}") from error
    finally:
        unproved.unlink(missing_ok=True)


def _politely() -> list[str]:
    nice = shutil.which("nice")
    return [nice, "-n", "5"] if nice else []


def _run_logged(command: list[str], *, folder: Path, log: Path, report: _Report) -> int:
    """Run a command in its own process group, its output going to ``log``; none of it outlives this call."""
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=go_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                return process.wait(timeout=_REPORT_SECONDS)
            seconds = time.monotonic() - started
            if seconds > _BUILD_LIMIT.total_seconds():
                raise RealKubeError(f"`{' '.join(command[:4])} …` did not end in {_BUILD_LIMIT}:\n{last_lines(log)}")
            report(seconds)
    finally:
        with suppress(ProcessLookupError):  # it ended well; else the limit or Ctrl-C came first
            killpg(process.pid, signal.SIGKILL)
        process.wait()


def _build_failure(program: Program, code: int, log: Path) -> RealKubeError:
    lines = last_lines(log)
    if "no space left on device" in lines:
        return _no_space(f"{program.name} {program.version} cannot be built:\n{lines}")
    return RealKubeError(
        f"{program.name} {program.version} cannot be built (exit code {code}):\n{lines}",
        way_out=f"The whole output is in {log}. Go modules come from the proxy that `go env GOPROXY` names.",
    )


def _no_space(problem: str) -> RealKubeError:
    return RealKubeError(
        f"no space to build the real Kubernetes: {problem}",
        way_out="A first build takes some 4 GB: RAYFLEET_CACHE, GOMODCACHE, GOCACHE and TMPDIR say where.",
    )
