"""Start an embedded cluster in a process of its own, and end it.

The supervisor is always a process of its own, also when ``rayfleet up`` stays in the foreground: there is one way to
run, one to stop, and a terminal that goes away cannot take half of a cluster with it.
"""

import asyncio
import contextlib
import json
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from rayfleet.local.folders import ClusterFolders
from rayfleet.local.node.cleanup import cleanup
from rayfleet.local.proc import ProcessIdentity, identity_of, signal_process
from rayfleet.local.supervisor.bootstrap import log_tail
from rayfleet.local.supervisor.record import Record, read_record
from rayfleet.local.supervisor.settings import SupervisorSettings, write_settings
from rayfleet.local.supervisor.takeover import end_leftovers
from rayfleet.model.errors import EnvironmentProblem

START_LIMIT = timedelta(seconds=45)
STOP_LIMIT = timedelta(seconds=75)
# Logs, the object store of two Ray nodes and a small model need this much; a full disk fails in worse places later.
LEAST_FREE_BYTES = 1 << 30
# Above what Linux hands out for outgoing connections (ip_local_port_range ends at 60999); pods' slots lie below it.
_OWN_PORTS = range(61000, 65536)
_TRIED_PORTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """A running supervisor."""

    process: subprocess.Popen[bytes]
    folders: ClusterFolders
    record: Record


async def launch(settings: SupervisorSettings) -> Launched:
    """Start the cluster and return when its processes run and the gateway answers.

    Raises EnvironmentProblem: running already, a port in use, no space, a process that does not come up.
    """
    folders = ClusterFolders(root=settings.root)
    _check_free(folders)
    check_space(settings.root)
    await end_leftovers(folders.record)
    try:
        with with_ports(settings) as whole:
            process = await asyncio.to_thread(_spawn, whole, folders)
            async with asyncio.timeout(START_LIMIT.total_seconds()):
                return Launched(process=process, folders=folders, record=await _started(process, folders))
    except TimeoutError:
        await stop(folders)
        raise EnvironmentProblem(
            f"the cluster did not start within {START_LIMIT.total_seconds():.0f} s; the end of the supervisor's log:\n"
            + log_tail(folders.logs / "supervisor.log"),
            way_out=f"All logs are in {folders.logs}.",
        ) from None


async def stop(folders: ClusterFolders) -> bool:
    """End the cluster in order and return whether there was one; leaves no process, port or shared memory behind.

    A cluster whose supervisor was killed is ended too: its processes by the record, its pods by the node's clean-up.
    """
    record = read_record(folders.record)
    was_there = record is not None
    if record is not None and signal_process(record.supervisor, signal.SIGTERM):
        await _wait_end(record.supervisor)
    await end_leftovers(folders.record)
    if folders.root.exists():
        await asyncio.to_thread(cleanup, folders.root)
    folders.record.unlink(missing_ok=True)
    return was_there


def _spawn(settings: SupervisorSettings, folders: ClusterFolders) -> subprocess.Popen[bytes]:
    folders.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    folders.logs.mkdir(exist_ok=True)
    folders.pods.mkdir(exist_ok=True)
    path = folders.root / "settings.json"
    write_settings(path, settings)
    with (folders.logs / "supervisor.log").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "rayfleet.local.supervisor", str(path)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


async def _started(process: subprocess.Popen[bytes], folders: ClusterFolders) -> Record:
    supervisor = identity_of(process.pid)
    while True:
        if process.poll() is not None:
            raise EnvironmentProblem(
                "the cluster did not start; the end of the supervisor's log:\n"
                + log_tail(folders.logs / "supervisor.log"),
                way_out=f"All logs are in {folders.logs}.",
            )
        record = read_record(folders.record)
        if record is not None and record.supervisor == supervisor and await _accepts(record):
            return record
        await asyncio.sleep(0.05)


async def _accepts(record: Record) -> bool:
    try:
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_connection(record.gateway_host, record.gateway_port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


async def _wait_end(identity: ProcessIdentity) -> None:
    deadline = asyncio.get_running_loop().time() + STOP_LIMIT.total_seconds()
    while identity.is_alive() and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.05)
    signal_process(identity, signal.SIGKILL)


def _check_free(folders: ClusterFolders) -> None:
    record = read_record(folders.record)
    if record is not None and record.supervisor.is_alive():
        raise EnvironmentProblem(
            f"cluster {folders.root.name!r} is running already (gateway {record.gateway_url})",
            way_out="Look at it with `rayfleet status`, add fleets with `rayfleet apply -f FILE`, "
            "end it with `rayfleet down`, or start another with --name and --gateway-port 0.",
        )


def check_space(root: Path, least_bytes: int = LEAST_FREE_BYTES) -> None:
    """Raise EnvironmentProblem when the disk of ``root`` has less than ``least_bytes`` free; it need not exist yet."""
    existing = next(path for path in (root, *root.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < least_bytes:
        raise EnvironmentProblem(
            f"{existing} has {free / 2**20:.0f} MiB free; at least {least_bytes / 2**20:.0f} MiB are needed",
            way_out="Free some space, or set XDG_STATE_HOME to a folder with more.",
        )


def _earlier_api_port(root: Path) -> int:
    """Return the API server's port of the last run, so that a kubeconfig that was copied stays good; 0 without one."""
    try:
        return int(json.loads((root / "settings.json").read_text(encoding="utf-8"))["api_port"])
    except (OSError, ValueError, KeyError):
        return 0


@contextlib.contextmanager
def with_ports(settings: SupervisorSettings) -> Iterator[SupervisorSettings]:
    """Give the settings with all ports chosen, and hold them for the length of the block.

    Until the children listen, seconds later, they would be free to another cluster that starts, and to one another. The
    sockets do not listen, and who sets SO_REUSEADDR, as our servers do, may bind beside them. Raises EnvironmentProblem
    when one cannot be used.
    """
    host = settings.gateway_host
    with contextlib.ExitStack() as held:
        api = _port(held, "--api-port", "127.0.0.1", settings.api_port, _earlier_api_port(settings.root))
        gateway = _port(held, "--gateway-port", host, settings.gateway_port, 0)
        admin = _port(held, "--gateway-admin-port", host, settings.gateway_admin_port, 0)
        yield replace(settings, api_port=api, gateway_port=gateway, gateway_admin_port=admin)


def _port(held: contextlib.ExitStack, flag: str, host: str, chosen: int, preferred: int) -> int:
    port = _usable_port(flag, host, chosen, preferred)
    holder = held.enter_context(socket.socket())
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        holder.setsockopt(socket.SOL_SOCKET, option, 1)
    with contextlib.suppress(OSError):  # taken in this moment: the child will say so
        holder.bind((host, port))
    return port


def _usable_port(flag: str, host: str, chosen: int, preferred: int) -> int:
    """Return a port that can be bound now: ``chosen``, or for 0 ``preferred`` if it is free, else any."""
    if chosen:
        problem = _bind_problem(host, chosen)
        if problem:
            raise EnvironmentProblem(
                f"{flag} {chosen}: {host}:{chosen} cannot be used: {problem}",
                way_out=f"End what listens there, or choose another: {flag} PORT (0: any free one).",
            )
        return chosen
    if preferred and not _bind_problem(host, preferred):
        return preferred
    return any_port(host)


def any_port(host: str) -> int:
    """Return a port that is free now and that the kernel gives to nobody of itself.

    The child binds it seconds later, and after each restart: one of the ports for outgoing connections would be another
    program's by then. Raises EnvironmentProblem when none is free.
    """
    places = random.sample(_OWN_PORTS, _TRIED_PORTS)
    free = next((port for port in places if not _bind_problem(host, port, beside_others=False)), None)
    if free is not None:
        return free
    raise EnvironmentProblem(
        f"none of {_TRIED_PORTS} ports from {_OWN_PORTS[0]} to {_OWN_PORTS[-1]} on {host} can be used",
        way_out="Choose ports with --gateway-port and --api-port.",
    )


def _bind_problem(host: str, port: int, *, beside_others: bool = True) -> str:
    """Return why a port cannot be bound; ``beside_others``: it may be held by one that does not listen."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(beside_others))
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return ""
