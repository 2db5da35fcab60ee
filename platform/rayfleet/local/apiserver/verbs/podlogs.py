"""``kubectl logs``: reads what the node wrote. Edge: files.

The node writes ``<pods>/<namespace>_<name>_<uid>/<container>/<restart>.log``; a rotated part is the same name with
``.1``. Lines are as the container wrote them; when they came is noted beside them (``local/log_times``).
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

from aiohttp import web

from rayfleet.local.apiserver.cluster import Cluster
from rayfleet.local.apiserver.grammar.refusal import bad_request, method_not_allowed, not_found
from rayfleet.local.apiserver.storage.history import Stored
from rayfleet.local.apiserver.verbs.log_lines import Lines, shown_line
from rayfleet.local.apiserver.verbs.log_options import LogOptions, decode_log_options
from rayfleet.local.apiserver.wire.calls import Call
from rayfleet.local.log_times import read_line_times
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.meta import uid_of
from rayfleet.objects.pods import container_statuses, init_container_statuses, is_finished, terminated_of

_CHUNK_BYTES = 64 * 1024
_POLL_SECONDS = 0.2
_RESTART = re.compile(r"(\d+)\.log")


class PodLogs:
    """Answers requests for logs."""

    def __init__(self, cluster: Cluster, folder: Path | None, stopping: asyncio.Event) -> None:
        self._cluster = cluster
        self._folder = folder
        self._stopping = stopping

    async def answer(self, call: Call) -> web.StreamResponse:
        """Stream the log. Raises Refusal: 400, 404, 422."""
        if call.request.method != "GET":
            raise method_not_allowed()
        options = decode_log_options(call.query, call.path.name, self._cluster.now())
        pod = self._cluster.storage.get(call.kind.storage_name, call.key)
        if pod is None:
            raise not_found(call.kind.group, call.kind.plural, call.path.name)
        path = await asyncio.to_thread(log_file, self._folder, pod.object, options)
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        ended = asyncio.Event()
        watcher = asyncio.ensure_future(self._watch_end(call, pod, options, ended))
        try:
            await response.prepare(call.request)
            async for chunk in log_chunks(path, options, ended):
                await response.write(chunk)
            await response.write_eof()
        except ConnectionError:
            pass  # the reader went; there is nobody to tell
        finally:
            watcher.cancel()
        return response

    async def _watch_end(self, call: Call, pod: Stored, options: LogOptions, ended: asyncio.Event) -> None:
        """Set ``ended`` when the followed container ended, its pod went, the reader went, or the server stops."""
        while not self._stopping.is_set() and call.request.transport is not None:
            current = self._cluster.storage.get("/pods", pod.key)
            is_gone = current is None or uid_of(current.object) != uid_of(pod.object)
            if is_gone or current is None or _is_over(current, options):
                break
            await _wait(self._stopping)
        ended.set()


def log_file(folder: Path | None, pod: ReadOnlyJson, options: LogOptions) -> Path:
    """Return the file to read. Raises Refusal (400) when the pod has no such container, or the container no log yet."""
    container = _container(pod, options.container)
    meta = pod["metadata"]
    name = meta["name"]
    if folder is None:
        raise bad_request("this API server was started without --pods-folder: it knows no logs")
    logs = folder / f"{meta['namespace']}_{name}_{meta['uid']}" / container
    restarts = sorted(int(match[1]) for each in _entries(logs) if (match := _RESTART.fullmatch(each.name)))
    readable = restarts[:-1] if options.is_previous else restarts
    if not readable:
        missing = "previous terminated container" if options.is_previous else "container"
        raise bad_request(f'{missing} "{container}" in pod "{name}" is waiting to start or has no log')
    return logs / f"{readable[-1]}.log"


async def log_chunks(path: Path, options: LogOptions, ended: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield what is shown of a log; with ``follows`` until ``ended`` is set."""
    left = options.limit_bytes
    shown = _timed(path, options, ended) if options.needs_times else _plain(path, options, ended)
    async with aclosing(shown):
        async for chunk in shown:
            if chunk:
                yield chunk if left is None else chunk[:left]
            left = None if left is None else left - len(chunk)
            if left is not None and left <= 0:
                return


async def _plain(path: Path, options: LogOptions, ended: asyncio.Event) -> AsyncGenerator[bytes]:
    async with aclosing(_pieces(path, options, ended)) as pieces:
        async for _, piece in pieces:
            yield piece


async def _timed(path: Path, options: LogOptions, ended: asyncio.Event) -> AsyncGenerator[bytes]:
    """Yield the lines by their times, some at once; what is no whole line at the end too."""
    lines = Lines()
    async with aclosing(_pieces(path, options, ended)) as pieces:
        async for start, piece in pieces:
            times = await asyncio.to_thread(read_line_times, path)
            yield b"".join(shown_line(line, end, times, options) for end, line in lines.take(start, piece))
    times = await asyncio.to_thread(read_line_times, path)
    yield b"".join(shown_line(line, end, times, options) for end, line in lines.rest())


async def _pieces(path: Path, options: LogOptions, ended: asyncio.Event) -> AsyncGenerator[tuple[int, bytes]]:
    """Yield a log's bytes from where its tail begins, each piece with its place.

    A file that is rotated is followed into its successor. Files are read in threads: a log may be long, and its disk
    slow.
    """
    position = await asyncio.to_thread(_tail_start, path, options.tail_lines)
    inode = (await asyncio.to_thread(path.stat)).st_ino
    while True:
        is_ended = ended.is_set()  # looked at before the read, so that what was written before the end is not missed
        with await asyncio.to_thread(path.open, "rb") as file:
            file.seek(position)
            while piece := await asyncio.to_thread(file.read, _CHUNK_BYTES):
                yield position, piece
                position += len(piece)
        if not options.follows or is_ended or not await asyncio.to_thread(path.exists):
            return
        await _wait(ended)
        state = await asyncio.to_thread(path.stat)
        if state.st_ino != inode or state.st_size < position:
            inode, position = state.st_ino, 0


def _is_over(pod: Stored, options: LogOptions) -> bool:
    if is_finished(pod.object):
        return True
    statuses = [*container_statuses(pod.object), *init_container_statuses(pod.object)]
    names = {options.container} if options.container else {each["name"] for each in pod.object["spec"]["containers"]}
    return any(each.get("name") in names and terminated_of(each) for each in statuses)


def _container(pod: ReadOnlyJson, asked: str) -> str:
    spec = pod["spec"]
    names = [each["name"] for each in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))]
    name = pod["metadata"]["name"]
    if asked:
        if asked not in names:
            raise bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    if len(spec["containers"]) == 1:
        return str(names[0])
    choice = " ".join(container["name"] for container in spec["containers"])
    raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{choice}]")


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _tail_start(path: Path, lines: int | None) -> int:
    """Return where the last ``lines`` lines begin."""
    if lines is None:
        return 0
    size = path.stat().st_size
    if lines == 0:
        return size
    with path.open("rb") as file:
        position, tail = size, b""
        while position > 0 and tail.count(b"\n") <= lines:
            step = min(_CHUNK_BYTES, position)
            position -= step
            file.seek(position)
            tail = file.read(step) + tail
    ends = [index for index, byte in enumerate(tail[:-1]) if byte == 0x0A]
    return position + ends[-lines] + 1 if len(ends) >= lines else position


async def _wait(ended: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_POLL_SECONDS):
            await ended.wait()
    except TimeoutError:
        return
