"""Keeps what can be known of an engine at the moment it is lost: whoever ends it then ends the traces too.

One JSON file for each loss, in a folder that holds a bounded number of bounded files: what ``/status`` tells (each
check, Ray's nodes by name, the stages), the last lines of the logs that can be seen from here, and the stacks of the
engine's processes where py-spy is installed and they can be seen. The short form goes to the file that Kubernetes
reads a container's termination message from. Nothing here is waited for by a verdict, and no failure counts.
"""

import asyncio
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from rayfleet.model.json import Json
from rayfleet_sidecar.processes import listening_processes
from rayfleet_sidecar.settings import EvidenceSettings

log = logging.getLogger(__name__)

_TERMINATION_BYTES = 4096  # Kubernetes reads no more
_TAIL_BYTES = 64 << 10
_LINE_LETTERS = 500
_STACK_SECONDS = 5.0


class EvidenceKeeper:
    """``ask`` when the engine is lost; ``run`` keeps one file for each, one after the other."""

    def __init__(self, settings: EvidenceSettings, engine_port: int, status: Callable[[], Json]) -> None:
        self._settings = settings
        self._engine_port = engine_port
        self._status = status
        self._asked: asyncio.Queue[tuple[datetime, Json]] = asyncio.Queue(maxsize=4)
        self.kept = 0

    def ask(self, now: datetime) -> None:
        """Take down what is known now; the rest is collected later. Without a folder nothing is kept."""
        if self._settings.folder and not self._asked.full():
            self._asked.put_nowait((now, self._status()))

    async def run(self) -> None:
        """Keep evidence until cancelled."""
        while True:
            now, status = await self._asked.get()
            try:
                await self._keep(now, status)
            except OSError as error:
                log.warning("evidence could not be kept", extra={"because": str(error)})
            self.kept += 1

    async def _keep(self, now: datetime, status: Json) -> None:
        stacks = await self._stacks()
        logs = await asyncio.to_thread(last_lines, self._settings)
        content = {"at": now.isoformat(), "status": status, "stacks": stacks, "logs": logs}
        path = await asyncio.to_thread(write_evidence, self._settings, f"{now:%Y%m%dT%H%M%S.%f}", content)
        log.warning("engine lost", extra={"evidence": short_form(content, path)})

    async def _stacks(self) -> Json:
        program = await asyncio.to_thread(shutil.which, "py-spy")
        if program is None:
            return {"none": "py-spy is not installed beside the sidecar"}
        numbers = await asyncio.to_thread(listening_processes, self._engine_port)
        if not numbers:
            return {"none": "the engine's processes cannot be seen from here"}
        return {str(number): await _stack(program, number) for number in numbers[: self._settings.most_processes]}


def write_evidence(settings: EvidenceSettings, name: str, content: Json) -> Path:
    """Write a file and the termination message, remove the oldest files; return where the file is. Raises OSError."""
    folder = Path(settings.folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{content['status'].get('reason', 'Lost')}.json"
    path.write_bytes(json.dumps(content, indent=1).encode()[: settings.most_bytes])
    for old in sorted(folder.glob("*.json"))[: -settings.most_files]:
        old.unlink(missing_ok=True)
    message = Path(settings.termination_log)
    if settings.termination_log and message.exists():  # Kubernetes makes it; elsewhere there is none
        message.write_bytes(short_form(content, path).encode()[:_TERMINATION_BYTES])
    return path


def short_form(content: Json, path: Path) -> str:
    """Return the evidence in a few lines: the reason, each failed check, where the rest is. Pure."""
    status = content["status"]
    checks = [f"{each['name']}: {each['message']}" for each in status.get("checks", ()) if each["passed"] is False]
    return "\n".join((f"{status.get('reason')}: {status.get('message')}", *checks, f"evidence: {path}"))


def last_lines(settings: EvidenceSettings) -> Json:
    """Return the last lines of the newest logs, by their names; empty where none can be seen."""
    if not settings.logs:
        return {}
    files = sorted(_files(Path(settings.logs)), key=lambda item: item[0], reverse=True)[: settings.most_logs]
    return {str(path): _tail(path, settings.most_lines) for _, path in files}


def _files(folder: Path) -> Iterator[tuple[float, Path]]:
    for pattern in ("*.log", "*.err", "*.out"):
        for path in folder.rglob(pattern):
            try:
                yield path.stat().st_mtime, path
            except OSError:
                continue


def _tail(path: Path, lines: int) -> list[str]:
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            return [line[:_LINE_LETTERS] for line in file.read().decode("utf-8", "replace").splitlines()[-lines:]]
    except OSError as error:
        return [f"cannot be read: {error.strerror}"]


async def _stack(program: str, number: int) -> list[str]:
    """Return what py-spy shows of a process, or why it does not."""
    command = (program, "dump", "--pid", str(number))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    try:
        async with asyncio.timeout(_STACK_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return [f"py-spy did not end within {_STACK_SECONDS:g} s"]
    return output.decode("utf-8", "replace").splitlines()
