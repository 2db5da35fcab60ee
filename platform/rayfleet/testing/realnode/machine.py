"""A machine within the machine: network, mounts and processes of its own, ended as a whole by the kernel.

One process holds it: when that ends, however, the kernel kills every process in it, undoes its mounts and takes its
network interfaces away. What outlives it are a folder and empty control groups, both by fixed names, which the next
start removes; it ends the holder too, whose id and age are noted in the folder, if nobody else did. So nothing of
anybody else's is ever looked for or touched, and one machine runs at a time.
"""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from rayfleet.local.proc import ProcessIdentity, identity_of, signal_process
from rayfleet.testing.realkube.errors import ServerStartError
from rayfleet.testing.realkube.files import Progress, exclusive_lock
from rayfleet.testing.realkube.processes import Daemon, Keeper

NAME = "rayfleet-node"
"""Of the control group and of the interface on this side."""

FOLDER = Path("/var/tmp/rayfleet-node")  # short: a socket's path may have 107 letters
CGROUP_ROOT = Path("/sys/fs/cgroup")

HOST_ADDRESS, ADDRESS = "10.98.0.1", "10.98.0.2"

_PRIVATE_FOLDERS = {
    Path("/var/lib/kubelet"): "kubelet",
    Path("/var/lib/cni"): "cni-state",
    Path("/var/log"): "log",
}
"""What programs use by fixed names, and the folder of ours that stands there inside."""

_MADE = FOLDER / "made-places"
_HOLDER = FOLDER / "holder"
_FORWARDING = ("net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables")
_LIMIT_SECONDS = 30.0
_POLL_SECONDS = 0.05


class Machine:
    """A running machine; commands and daemons are started in it by those who hold it."""

    def __init__(self, holder: int, keeper: Keeper) -> None:
        self.folder = FOLDER
        self.daemons: list[Daemon] = []
        self.holder = holder
        self._keeper = keeper

    def inside(self, command: Sequence[str]) -> list[str]:
        """Return the command line that runs ``command`` inside, in our folder: a change of mounts leads to the root."""
        namespaces = ("--target", str(self.holder), "--net", "--mount", "--pid")
        return ["nsenter", *namespaces, "--", "env", f"--chdir={FOLDER}", *command]

    def start(self, name: str, command: Sequence[str]) -> Daemon:
        """Start a daemon inside, which ends with the machine; its log is ``FOLDER/NAME.log``."""
        daemon = Daemon.start(self.inside(command), folder=self.folder, name=name)
        self.daemons.append(daemon)
        self._keeper.watch(daemon)
        return daemon

    def run(self, command: Sequence[str], *, limit: timedelta = timedelta(minutes=5)) -> str:
        """Run a command inside to its end and return what it wrote. Raises ``ServerStartError``."""
        return run_command(self.inside(command), limit=limit)


def inside_command(command: Sequence[str]) -> list[str]:
    """Return the command line that runs ``command`` in the network of a machine that another process runs."""
    holder = _HOLDER.read_text(encoding="ascii").split()[0]
    return ["nsenter", "--target", holder, "--net", "--", *command]


@contextmanager
def running_machine(pause: Path, *, progress: Progress) -> Iterator[Machine]:
    """Run an empty machine for the length of the block; what a killed one left is removed first.

    ``pause`` is the program of its first process. Raises ``ServerStartError``.
    """
    with exclusive_lock(FOLDER.with_suffix(".lock"), what="the test node", progress=progress), ExitStack() as ended:
        clean()
        ended.callback(clean)
        FOLDER.mkdir(parents=True)
        _make_cgroups()
        _make_places()
        keeper = Keeper()
        ended.callback(keeper.dismiss)
        flags = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private")
        unshare = Daemon.start(["unshare", *flags, str(pause)], folder=FOLDER)
        holder = identity_of(unshare.process_id)
        _HOLDER.write_text(f"{holder.pid} {holder.start_ticks}", encoding="ascii")
        keeper.watch(unshare)
        ended.callback(unshare.end)
        machine = Machine(_only_child(unshare), keeper)
        ended.callback(_end, unshare, machine.daemons)
        _connect(machine)
        yield machine


def clean() -> None:
    """End a machine whose starter was killed, and remove what is left: its interface, its folder, its control groups.

    Raises ``ServerStartError`` when the kernel does not let go of it.
    """
    if _HOLDER.is_file():
        numbers = _HOLDER.read_text(encoding="ascii").split()
        if len(numbers) == len(("id", "age")):
            signal_process(ProcessIdentity(pid=int(numbers[0]), start_ticks=int(numbers[1])), signal.SIGKILL)
    _wait_disconnected()
    for group in _cgroups():
        for path in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
            _remove_group(path)
        _remove_group(group)
    if _MADE.is_file():
        for place in _MADE.read_text(encoding="utf-8").splitlines():
            _remove_empty(Path(place))
    shutil.rmtree(FOLDER, ignore_errors=True)


def run_command(command: Sequence[str], *, limit: timedelta = timedelta(minutes=5)) -> str:
    """Run a command to its end and return what it wrote. Raises ``ServerStartError``."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=limit.total_seconds(), check=False, cwd="/"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerStartError(f"{command[0]} failed: {error}") from error
    if done.returncode != 0:
        raise ServerStartError(f"`{' '.join(command)}` failed ({done.returncode}): {done.stderr.strip()[-2000:]}")
    return done.stdout


def _connect(machine: Machine) -> None:
    """Join this side and the inside by a pair of interfaces; private mounts; forwarding between pods.

    There is no route to anywhere else: what a pod tries to reach out there fails at once.
    """
    run_command(["ip", "link", "add", NAME, "type", "veth", "peer", "name", "eth0", "netns", str(machine.holder)])
    run_command(["ip", "address", "add", f"{HOST_ADDRESS}/30", "dev", NAME])
    run_command(["ip", "link", "set", NAME, "up"])
    lines = [
        "set -e",
        "ip link set lo up",
        "ip link set eth0 up",
        f"ip address add {ADDRESS}/30 dev eth0",
        "mount -t tmpfs tmpfs /run",
        *(f"mount --bind {FOLDER / name} {place}" for place, name in _PRIVATE_FOLDERS.items()),
        *(f"echo 1 > /proc/sys/{name}" for name in _FORWARDING if (Path("/proc/sys") / name).exists()),
    ]
    machine.run(["sh", "-c", "\n".join(lines)])


def _wait_disconnected() -> None:
    """Wait until the kernel has taken the interface away, as it does when the last process inside is gone."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    while (Path("/sys/class/net") / NAME).exists():
        if time.monotonic() > deadline:
            raise ServerStartError(f"the interface {NAME} of an earlier machine is still there: see `ip link`")
        time.sleep(_POLL_SECONDS)


def _end(holder: Daemon, daemons: Sequence[Daemon]) -> None:
    """End the first process, and with it all: nobody inside is asked, nothing inside is kept."""
    holder.end()
    for daemon in daemons:
        daemon.end()


def _only_child(daemon: Daemon) -> int:
    children = Path(f"/proc/{daemon.process_id}/task/{daemon.process_id}/children")
    deadline = time.monotonic() + _LIMIT_SECONDS
    while daemon.exit_code() is None and time.monotonic() < deadline:
        numbers = children.read_text(encoding="ascii").split()
        if numbers and Path(f"/proc/{numbers[0]}/comm").read_text(encoding="ascii").strip() == "pause":
            return int(numbers[0])
        time.sleep(_POLL_SECONDS)
    raise ServerStartError(f"no namespaces of our own:\n{daemon.describe()}")


def _cgroups() -> list[Path]:
    """Return our group in each hierarchy, there or not; with cgroup v2 there is one hierarchy."""
    if (CGROUP_ROOT / "cgroup.controllers").is_file():
        return [CGROUP_ROOT / NAME]
    hierarchies = (path for path in CGROUP_ROOT.iterdir() if path.is_dir() and not path.is_symlink())
    return [path / NAME for path in hierarchies if (path / "cgroup.procs").is_file()]


def _make_cgroups() -> None:
    for group in _cgroups():
        group.mkdir(exist_ok=True)
        parent = group.parent
        for name in ("cpuset.cpus", "cpuset.mems"):  # a new group of this hierarchy has none and takes no process
            if (group / name).is_file() and not (group / name).read_text(encoding="ascii").strip():
                (group / name).write_text((parent / name).read_text(encoding="ascii"), encoding="ascii")


def _make_places() -> None:
    """Make our private folders, and their places where the machine has none; those are noted first, for ``clean``."""
    missing = [place for place in _PRIVATE_FOLDERS if not place.exists()]
    _MADE.write_text("".join(f"{place}\n" for place in missing), encoding="utf-8")
    for place, name in _PRIVATE_FOLDERS.items():
        (FOLDER / name).mkdir()
        place.mkdir(exist_ok=True)


def _remove_group(group: Path) -> None:
    """Remove one control group; processes that the kernel is still ending hold it for a moment."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    while group.is_dir():
        try:
            group.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_SECONDS)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
