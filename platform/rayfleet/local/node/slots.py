"""An address and a block of ports for each pod, unique on this machine among all clusters of the user.

A slot is a file that names its owner (state folder and pod). Choosing happens under one lock; a slot whose ports are
taken by somebody else is passed over. Files of owners that are gone (state folder removed) are reused.
"""

import contextlib
import fcntl
import json
import socket
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from rayfleet.local.node.folders import NodeFolders
from rayfleet.local.node.loopback import PORTS_PER_POD
from rayfleet.model.errors import EnvironmentProblem

FIRST_PORT = 10100
# Below 32768, where Linux begins to hand out ports for outgoing connections.
SLOTS = (32768 - FIRST_PORT) // PORTS_PER_POD
_DAEMON_PORTS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """``number`` in [0, SLOTS)."""

    number: int

    @property
    def address(self) -> str:
        """127.77.x.y; 250 slots per x."""
        return f"127.77.{self.number // 250}.{self.number % 250 + 2}"

    @property
    def first_port(self) -> int:
        """The first of PORTS_PER_POD ports."""
        return FIRST_PORT + self.number * PORTS_PER_POD


class Slots:
    """Takes and gives back slots for the pods of one state folder."""

    def __init__(self, folders: NodeFolders) -> None:
        self._folders = folders
        self._folder = folders.slots
        self._state = str(folders.state)

    def take(self, pod_uid: str) -> Slot:
        """Return the pod's slot: the one it has, else a free one. Raises EnvironmentProblem when all are in use."""
        with self._locked():
            owners = self._owners()
            for number, (state, uid) in owners.items():
                if (state, uid) == (self._state, pod_uid):
                    return Slot(number=number)
            for number in range(SLOTS):
                slot = Slot(number=number)
                if number not in owners and _is_free(slot):
                    self._path(number).write_text(json.dumps([self._state, pod_uid]), encoding="utf-8")
                    return slot
        raise EnvironmentProblem(
            f"all {SLOTS} pod slots of this machine are in use",
            way_out="Scale fleets down, or end clusters with `rayfleet down`.",
        )

    def give_back(self, pod_uid: str) -> None:
        """Free the pod's slot; nothing happens when it has none."""
        with self._locked():
            for number, owner in self._owners().items():
                if owner == (self._state, pod_uid):
                    self._path(number).unlink(missing_ok=True)

    def give_back_all(self, besides: Collection[str] = ()) -> None:
        """Free every slot of this state folder, but those of the pods in ``besides`` (uids)."""
        with self._locked():
            for number, (state, uid) in self._owners().items():
                if state == self._state and uid not in besides:
                    self._path(number).unlink(missing_ok=True)

    def _owners(self) -> dict[int, tuple[str, str]]:
        owners: dict[int, tuple[str, str]] = {}
        for path in self._folder.glob("[0-9]*"):
            try:
                state, uid = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                path.unlink(missing_ok=True)
                continue
            if Path(state).exists():
                owners[int(path.name)] = (state, uid)
            else:
                path.unlink(missing_ok=True)
        return owners

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:03}"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._folders.make_runtime()
        self._folder.mkdir(exist_ok=True)
        with (self._folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _is_free(slot: Slot) -> bool:
    """Whether nobody listens on the address, and Ray's daemons could bind their ports now.

    Ray's daemons bind every address, so any listener on one of these ports is in the way; another user's pod has the
    same address.
    """
    if slot.address in _listening_addresses():
        return False
    for offset in range(_DAEMON_PORTS):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", slot.first_port + offset))
            except OSError:
                return False
    return True


def _listening_addresses() -> set[str]:
    """Return the IPv4 addresses that sockets listen on now. Source: proc_pid_net(5), state 0A is LISTEN."""
    addresses = set()
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                number = int(fields[1].partition(":")[0], 16)
                addresses.add(socket.inet_ntoa(number.to_bytes(4, sys.byteorder)))
    return addresses
