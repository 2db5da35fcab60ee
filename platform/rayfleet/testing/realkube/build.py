"""etcd, kube-apiserver, kube-controller-manager and the KubeRay operator, built once from pinned Go modules.

``go/etcd``, ``go/kubernetes`` and ``go/kuberay`` beside this file hold each program's ``go.mod`` and ``go.sum``, which
fix every byte of the source. A program is built under another name, asked for its version, and only then gets its own
name: what lies in the cache works. The first build takes three to five minutes of two cores and some 4 GB of Go's own
caches.

To move to another version: the two constants below; in ``go/kubernetes/go.mod`` the requirement and every ``replace``
(one per name in the ``replace`` block of Kubernetes' own ``go.mod``, v0.MINOR.PATCH); then ``go mod tidy`` in both.
"""

import errno
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from os import getpid, killpg
from pathlib import Path

from rayfleet.testing.realkube.errors import RealKubeError
from rayfleet.testing.realkube.files import Progress, exclusive_lock, is_program, last_lines
from rayfleet.testing.realkube.settings import go_environment, kubebuilder_assets
from rayfleet.testing.realkube.toolchain import find_go

KUBERNETES_VERSION = "v1.36.3"
ETCD_VERSION = "v3.6.16"
KUBERAY_VERSION = "v1.6.0"

_MAJOR, _MINOR, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
_BUILD_LIMIT = timedelta(minutes=45)
_REPORT_SECONDS = 10.0
_NEEDED_BYTES = 1 << 30  # the two programs, 133 MB, and what Go writes while it links them


_Report = Callable[[float], None]
"""Takes the seconds since the start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """The programs of a real API server, each an absolute path."""

    etcd: Path
    kube_apiserver: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Program:
    name: str
    version: str
    module: str  # the folder below go/
    package: str
    link_flags: str
    proof: str = "--version"  # what it must understand


_PROGRAMS = (
    _Program(name="etcd", version=ETCD_VERSION, module="etcd", package="go.etcd.io/etcd/server/v3", link_flags="-s -w"),
    _Program(
        name="kube-apiserver",
        version=KUBERNETES_VERSION,
        module="kubernetes",
        package="k8s.io/kubernetes/cmd/kube-apiserver",
        # Without these the server reports v0.0.0-master+$Format, which kubectl's version skew check trips over.
        link_flags=" ".join(
            (
                "-s -w",
                f"-X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION}",
                f"-X k8s.io/component-base/version.gitMajor={_MAJOR}",
                f"-X k8s.io/component-base/version.gitMinor={_MINOR}",
            )
        ),
    ),
)

_MANAGER = replace(
    _PROGRAMS[1], name="kube-controller-manager", package="k8s.io/kubernetes/cmd/kube-controller-manager"
)
_OPERATOR = _Program(
    name="kuberay-operator",
    version=KUBERAY_VERSION,
    module="kuberay",
    package="github.com/ray-project/kuberay/ray-operator",
    link_flags="-s -w",
    proof="--help",
)


def binaries_folder(cache: Path) -> Path:
    """Return where the programs lie in ``cache``, by their versions."""
    return cache.absolute() / "kubernetes" / f"{KUBERNETES_VERSION}-etcd-{ETCD_VERSION}"


def ensure_binaries(cache: Path, *, progress: Progress) -> Binaries:
    """Return the programs, building those that ``cache`` lacks.

    A complete folder named by ``KUBEBUILDER_ASSETS`` comes first. Processes that ask at the same time build once.
    Raises ``RealKubeError`` with the last lines of what failed: no Go, no space, no module, no build.
    """
    assets = kubebuilder_assets()
    if assets is not None:
        missing = _missing(assets, _PROGRAMS)
        if not missing:
            return _binaries_in(assets)
        progress(f"KUBEBUILDER_ASSETS={assets} lacks {', '.join(p.name for p in missing)}: taking our own build")
    folder = binaries_folder(cache)
    _ensure(folder, _PROGRAMS, what="real Kubernetes", cache=cache, progress=progress)
    return _binaries_in(folder)


def ensure_controller_manager(cache: Path, *, progress: Progress) -> Path:
    """Return kube-controller-manager, building it if ``cache`` lacks it: one to four minutes.

    Raises ``RealKubeError``.
    """
    folder = binaries_folder(cache)
    _ensure(folder, (_MANAGER,), what="kube-controller-manager", cache=cache, progress=progress)
    return folder / _MANAGER.name


def ensure_kuberay_operator(cache: Path, *, progress: Progress) -> Path:
    """Return the KubeRay operator, building it if ``cache`` lacks it: 1.5 to 6 minutes. Raises ``RealKubeError``."""
    folder = cache.absolute() / "kuberay" / KUBERAY_VERSION
    _ensure(folder, (_OPERATOR,), what="the KubeRay operator", cache=cache, progress=progress)
    return folder / _OPERATOR.name


def _ensure(folder: Path, programs: tuple[_Program, ...], *, what: str, cache: Path, progress: Progress) -> None:
    if _missing(folder, programs):
        with exclusive_lock(folder / ".lock", what=what, progress=progress):
            _build_missing(folder, programs, cache=cache, progress=progress)


def _binaries_in(folder: Path) -> Binaries:
    return Binaries(etcd=folder / "etcd", kube_apiserver=folder / "kube-apiserver")


def _missing(folder: Path, programs: tuple[_Program, ...]) -> tuple[_Program, ...]:
    return tuple(program for program in programs if not is_program(folder / program.name))


def _build_missing(folder: Path, programs: tuple[_Program, ...], *, cache: Path, progress: Progress) -> None:
    for left in folder.glob("*.partial"):  # of a build that was killed; the lock is ours
        left.unlink()
    missing = _missing(folder, programs)
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


def _build(program: _Program, *, go: Path, folder: Path, report: _Report) -> None:
    log = folder / f"{program.name}.build.txt"
    unproved = folder / f"{program.name}.{getpid()}.partial"
    command = [
        *_politely(),
        *(str(go), "build", "-mod=readonly", "-buildvcs=false", "-trimpath"),
        *("-ldflags", program.link_flags, "-o", str(unproved), program.package),
    ]
    try:
        code = _run_logged(command, folder=Path(__file__).parent / "go" / program.module, log=log, report=report)
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


def _build_failure(program: _Program, code: int, log: Path) -> RealKubeError:
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
