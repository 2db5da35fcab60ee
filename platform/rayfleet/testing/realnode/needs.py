"""What a machine must give for a real node, each need with its way out; nothing is left out without a word.

A node needs root, namespaces, cgroups, room, Debian with some programs, and a kernel that makes bridges, pairs of
interfaces, address translation and overlays for it (a container of its own often may not). Where one is missing the
caller ends with ``EXIT_CODE``, which is neither success nor a failed test.
"""

import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rayfleet.testing.realkube import RealKubeError
from rayfleet.testing.realnode.base import debian_suite

EXIT_CODE = 69  # EX_UNAVAILABLE of sysexits.h

CNI_FOLDER = Path("/usr/lib/cni")
PACKAGES = {
    "runc": "runc",
    "iptables": "iptables",
    "nft": "nftables",
    "conntrack": "conntrack",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
}
"""Programs by the Debian package that has them; CNI's plugins (``containernetworking-plugins``) are a folder."""

CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "devices", "freezer")
"""Hierarchies of cgroup v1 that the kubelet writes to."""

PLACE = Path("/var/tmp")
"""Where a node keeps its files as long as it runs."""

_NEEDED_BYTES = 6_000_000_000  # images imported and unpacked, and what a first build writes
_MACHINE = "x86_64"  # of our archive of images
_PROBE_SECONDS = 30
_PROBES: Mapping[str, str] = {
    "pairs of network interfaces": "ip link add rayfleet-p0 type veth peer name rayfleet-p1",
    "network bridges": "ip link add rayfleet-p0 type bridge",
    "nftables": "nft add table ip p && nft add chain ip p nat '{ type nat hook postrouting priority 100 ; }'",
    "overlays of file systems": (
        "mkdir lower upper work merged && mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged"
    ),
}
"""What the kernel is asked for, in namespaces that end with the asking and in a folder of its own."""
_CNI_PLUGINS = ("bridge", "host-local", "loopback", "portmap")
_NEW_NETWORK, _NEW_MOUNTS, _NEW_PROCESSES = 0x40000000, 0x00020000, 0x20000000


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One thing that this machine lacks."""

    what: str
    way_out: str


class NeedsMissing(RealKubeError):
    """This machine cannot run a real node; ``needs`` is never empty."""

    def __init__(self, needs: Sequence[Need]) -> None:
        self.needs = tuple(needs)
        lines = "".join(f"\n  - {need.what}: {need.way_out}" for need in self.needs)
        super().__init__(f"no real Kubernetes node can run here:{lines}")


def check_needs() -> None:
    """Raise ``NeedsMissing`` with everything that this machine lacks; the kernel is asked once all else is there."""
    needs = missing_needs(cgroups=Path("/sys/fs/cgroup"), cni=CNI_FOLDER, place=PLACE, release=Path("/etc/os-release"))
    needs = needs or kernel_needs(PLACE)
    if needs:
        raise NeedsMissing(needs)


def missing_needs(*, cgroups: Path, cni: Path, place: Path, release: Path) -> tuple[Need, ...]:
    """Return what this machine lacks: first the rights, then cgroups, room, Debian, then its packages in one line."""
    return (
        *_missing_rights(),
        *_missing_cgroups(cgroups),
        *_missing_room(place),
        *_missing_debian(release),
        *_missing_packages(cni),
    )


def kernel_needs(place: Path) -> tuple[Need, ...]:
    """Return what the kernel refuses of that which a node asks it for; files are made below ``place`` and removed."""
    return tuple(_refused_by_kernel(place))


def _missing_rights() -> tuple[Need, ...]:
    if os.geteuid() != 0:
        return (Need(what=f"root (this is user {os.geteuid()})", way_out="run it as root on a machine of your own"),)
    refused = _namespaces_refused()
    return (Need(what=f"namespaces ({refused})", way_out="allow CAP_SYS_ADMIN and clone flags"),) if refused else ()


def _namespaces_refused() -> str:
    """Return why this process may not make network, mount and process namespaces; empty when it may."""
    child = os.fork()
    if child == 0:
        refused = ctypes.CDLL(None, use_errno=True).unshare(_NEW_NETWORK | _NEW_MOUNTS | _NEW_PROCESSES)
        os._exit(ctypes.get_errno() if refused else 0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return os.strerror(code) if code else ""


def _missing_cgroups(folder: Path) -> tuple[Need, ...]:
    if (folder / "cgroup.controllers").is_file():
        has = (folder / "cgroup.controllers").read_text(encoding="ascii").split()
        missing = [name for name in ("cpu", "cpuset", "memory", "pids") if name not in has]
    else:
        missing = [name for name in CONTROLLERS if not os.access(folder / name / "tasks", os.W_OK)]
    if not missing:
        return ()
    return (Need(what=f"cgroups ({', '.join(missing)})", way_out=f"mount them, writable, below {folder}"),)


def _missing_room(place: Path) -> tuple[Need, ...]:
    free = shutil.disk_usage(place).free
    if free >= _NEEDED_BYTES:
        return ()
    return (Need(what=f"room ({free / 1e9:.1f} GB)", way_out=f"make {_NEEDED_BYTES / 1e9:.0f} GB free at {place}"),)


def _missing_debian(release: Path) -> tuple[Need, ...]:
    """Images are made from the machine's own Debian, for the one kind of machine that their archive names."""
    if platform.machine() != _MACHINE:
        return (Need(what=f"{_MACHINE} (this is {platform.machine()})", way_out="run it on such a machine"),)
    try:
        debian_suite(release.read_text(encoding="utf-8"))
    except (OSError, RealKubeError) as error:
        return (Need(what=f"Debian ({error})", way_out="run it on Debian, also in a container"),)
    return ()


def _refused_by_kernel(place: Path) -> Iterator[Need]:
    for what, command in _PROBES.items():
        with tempfile.TemporaryDirectory(dir=place, prefix="rayfleet-probe-") as folder:
            inside = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", command]
            done = subprocess.run(
                inside, cwd=folder, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False
            )
        if done.returncode != 0:
            words = " ".join(done.stderr.split())
            yield Need(what=f"{what} ({words})", way_out="a kernel that gives them to root of this machine")


def missing_packages(cni: Path) -> tuple[str, ...]:
    """Return the names of Debian's packages that a node needs and this machine lacks, in order."""
    packages = {package for program, package in PACKAGES.items() if shutil.which(program) is None}
    if not all((cni / name).is_file() for name in _CNI_PLUGINS):
        packages.add("containernetworking-plugins")
    return tuple(sorted(packages))


def _missing_packages(cni: Path) -> tuple[Need, ...]:
    names = " ".join(missing_packages(cni))
    if not names:
        return ()
    return (Need(what=f"Debian's packages {names}", way_out=f"apt-get install --no-install-recommends {names}"),)
