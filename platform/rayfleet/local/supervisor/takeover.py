"""Ends what an earlier supervisor left running when it was killed.

Only the processes of the record, identified by pid and start time. The node runs with ``--leave-running``: its end
leaves the pods alive, and the next node takes them back.
"""

import asyncio
import logging
import signal
from collections.abc import Collection
from pathlib import Path

from rayfleet.local.proc import ProcessIdentity, signal_process
from rayfleet.local.supervisor.record import read_record

log = logging.getLogger(__name__)

TERM_SECONDS = 8.0
KILL_SECONDS = 5.0


async def end_leftovers(record_path: Path) -> tuple[str, ...]:
    """Return the names of processes that an earlier supervisor left and that are ended now."""
    record = read_record(record_path)
    if record is None or record.supervisor.is_alive():
        return ()
    left = {name: entry.identity for name, entry in record.processes.items() if entry.identity.is_alive()}
    for name, identity in left.items():
        log.warning("ending a process of an earlier supervisor", extra={"child": name, "pid": identity.pid})
        signal_process(identity, signal.SIGTERM)
    await _wait_gone(left.values(), TERM_SECONDS)
    for identity in left.values():
        signal_process(identity, signal.SIGKILL)
    await _wait_gone(left.values(), KILL_SECONDS)
    return tuple(left)


async def _wait_gone(pending: Collection[ProcessIdentity], seconds: float) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while any(identity.is_alive() for identity in pending) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.05)
