"""containerd, its shim and client, CoreDNS and the pause program, built once from pinned Go modules.

As ``rayfleet.testing.realkube.go_build``: what lies in the cache works. containerd takes three minutes of two
cores. To move to another version: the constant below, the requirement in ``go/NAME/go.mod``, ``go mod tidy``.
"""

from dataclasses import dataclass
from pathlib import Path

from rayfleet.testing.realkube.files import Progress
from rayfleet.testing.realkube.go_build import Program, ensure_programs

CONTAINERD_VERSION = "v2.4.2"
COREDNS_VERSION = "v1.15.0"
_PAUSE_VERSION = "1"

_MODULES = Path(__file__).parent / "go"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimePrograms:
    """What runs containers and answers for names; ``folder`` has containerd, its shim and ``ctr``, for a PATH."""

    folder: Path
    containerd: Path
    ctr: Path
    coredns: Path
    pause: Path


_CONTAINERD, _SHIM, _CTR = (
    Program(
        name=name,
        version=CONTAINERD_VERSION,
        module=_MODULES / "containerd",
        package=f"github.com/containerd/containerd/v2/cmd/{name}",
        link_flags=f"-s -w -X github.com/containerd/containerd/v2/version.Version={CONTAINERD_VERSION}",
        tags="no_btrfs no_zfs no_devmapper",
        proof="-v",
    )
    for name in ("containerd", "containerd-shim-runc-v2", "ctr")
)
_COREDNS = Program(
    name="coredns",
    version=COREDNS_VERSION,
    module=_MODULES / "coredns",
    package=".",  # five of its plugins; the whole has a thousand packages more
    proof="-version",
)
_PAUSE = Program(name="pause", version=_PAUSE_VERSION, module=_MODULES / "pause", package=".")
_ALL = (_PAUSE, _CONTAINERD, _SHIM, _CTR, _COREDNS)


def ensure_runtime(cache: Path, *, progress: Progress) -> RuntimePrograms:
    """Return the programs, building those that ``cache`` lacks: six minutes the first time.

    Raises ``RealKubeError``.
    """
    folder = _folder(cache)
    ensure_programs(folder, _ALL, what="the container runtime", cache=cache, progress=progress)
    return RuntimePrograms(
        folder=folder,
        containerd=folder / _CONTAINERD.name,
        ctr=folder / _CTR.name,
        coredns=folder / _COREDNS.name,
        pause=folder / _PAUSE.name,
    )


def ensure_pause(cache: Path, *, progress: Progress) -> Path:
    """Return the pause program alone, built if need be: seconds. Raises ``RealKubeError``."""
    folder = _folder(cache)
    ensure_programs(folder, (_PAUSE,), what="the pause program", cache=cache, progress=progress)
    return folder / _PAUSE.name


def _folder(cache: Path) -> Path:
    versions = f"containerd-{CONTAINERD_VERSION}-coredns-{COREDNS_VERSION}-pause-{_PAUSE_VERSION}"
    return cache.absolute() / "node" / versions
