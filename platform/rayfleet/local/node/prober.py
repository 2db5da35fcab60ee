"""Runs the probes of one container: asks on time, hands each result to the pure state machine.

Every question has its limit.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from rayfleet.local.node.loopback import NotResolved
from rayfleet.local.node.mounts import BindMount
from rayfleet.local.node.probes import ProbeKind, ProbeSpec, ProbeState, after_result
from rayfleet.local.node.processes import Children, ContainerCommand
from rayfleet.local.node.users import User

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeTarget:
    """Where and how a container is asked.

    ``port_of`` takes a number or a port's name to the real port, ``words_of`` a command to one with this machine's
    addresses.
    """

    address: str
    port_of: Callable[[int | str], int]
    words_of: Callable[[Sequence[str]], Sequence[str]]
    children: Children
    environment: Mapping[str, str]
    folder: Path
    session: aiohttp.ClientSession
    user: User | None = None
    mounts: tuple[BindMount, ...] = ()


async def run_probe(spec: ProbeSpec, target: ProbeTarget, on_change: Callable[[ProbeKind, bool], None]) -> None:
    """Ask until cancelled; ``on_change`` hears each flip. A startup probe ends when it has passed."""
    state = ProbeState()
    await asyncio.sleep(spec.initial_delay.total_seconds())
    while True:
        is_success = await asked(spec, target)
        after = after_result(state, spec, is_success)
        if after.is_passing is not None and after.is_passing != state.is_passing:
            on_change(spec.kind, after.is_passing)
        state = after
        if spec.kind is ProbeKind.STARTUP and state.is_passing:
            return
        await asyncio.sleep(spec.period.total_seconds())


async def asked(spec: ProbeSpec, target: ProbeTarget) -> bool:
    """Return the result of one question."""
    try:
        async with asyncio.timeout(spec.timeout.total_seconds()):
            match spec.action:
                case {"httpGet": action}:
                    return await _http(action, target)
                case {"tcpSocket": action}:
                    return await _tcp(action, target)
                case {"exec": action}:
                    return await run_command(action.get("command") or (), target)
                case _:
                    return False
    except TimeoutError:
        return False


async def http_get(action: Mapping[str, Any], target: ProbeTarget) -> int:
    """Return the status of an httpGet action. Raises aiohttp.ClientError."""
    host = action.get("host") or target.address
    scheme = str(action.get("scheme") or "HTTP").lower()
    path = action.get("path") or "/"
    url = f"{scheme}://{host}:{target.port_of(action['port'])}/{path.lstrip('/')}"
    headers = {entry["name"]: entry["value"] for entry in action.get("httpHeaders") or ()}
    async with target.session.get(url, headers=headers, ssl=False, allow_redirects=False) as response:
        return response.status


async def run_command(command: Sequence[str], target: ProbeTarget) -> bool:
    """Run a command as the container would, and return whether it ended with 0; it is killed with its caller."""
    try:
        words = target.words_of(command)
        run = ContainerCommand(
            words=words,
            environment=target.environment,
            folder=target.folder,
            log_path=Path(os.devnull),
            user=target.user,
            mounts=target.mounts,
        )
        process = target.children.start(run)
    except (OSError, NotResolved) as error:
        log.info("command cannot be run", extra={"command": list(command)[:1], "reason": str(error)})
        return False
    try:
        return await process.wait() == 0
    finally:
        process.kill_group()
        await process.wait()


async def _http(action: Mapping[str, Any], target: ProbeTarget) -> bool:
    try:
        return 200 <= await http_get(action, target) < 400
    except (aiohttp.ClientError, OSError):
        return False


async def _tcp(action: Mapping[str, Any], target: ProbeTarget) -> bool:
    try:
        host = action.get("host") or target.address
        _, writer = await asyncio.open_connection(host, target.port_of(action["port"]))
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
