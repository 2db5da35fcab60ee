"""The access log: one line of JSON per request, written by a thread of its own.

A line never holds a header, a query, a prompt or a key: only what the gateway knows of a request, and of its path at
most ``_MOST_PATH`` characters. JSON escapes control characters, so that a line is one line. A file that was moved away
(logrotate) is opened anew; lines are written whole, to a pipe in pieces that it takes in one go (POSIX, PIPE_BUF), so
that several processes may share it. To a file a batch goes at once: each write waits for its turn among the threads.
"""

import json
import logging
import os
import select
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import orjson

from rayfleet_gateway.model.values import Outcome
from rayfleet_gateway.telemetry.behind import Behind
from rayfleet_gateway.telemetry.counts import Deliveries

log = logging.getLogger(__name__)

STDOUT = "-"
_MOST_PATH = 256
_PIPE_BYTES = 4096
_FILE_BYTES = 1 << 20
_CLOSE_SECONDS = 3.0
_WAIT_SECONDS = 1.0

_Entry = tuple[float, Outcome]


class AccessLog:
    """Writes to the file at ``target``, or to standard output for ``-``. ``put`` is a sink of ``Telemetry``.

    ``deliveries`` are its ``tallies.access_log``.
    """

    def __init__(self, target: str, deliveries: Deliveries) -> None:
        self._writer = _Writer(target)
        self._behind: Behind[_Entry] = Behind("access-log", self._take, deliveries)

    def start(self) -> None:
        """Open the file and begin. Raises OSError when it cannot be opened."""
        self._writer.open()
        self._behind.start()

    def put(self, outcome: Outcome) -> None:
        """Log one request."""
        self._behind.put((time.time(), outcome))

    def close(self) -> None:
        """Write what waits, for at most some seconds; then no more. Blocks: not for the loop."""
        self._behind.close(_CLOSE_SECONDS)

    def _take(self, batch: Sequence[_Entry]) -> None:
        self._writer.write([line(outcome, at) for at, outcome in batch])


def line(outcome: Outcome, at: float) -> bytes:
    """Return a request's line; ``at`` is when it ended, in seconds of the wall clock. Pure."""
    facts: dict[str, object] = {
        "time": datetime.fromtimestamp(at, UTC),
        "request_id": outcome.request_id,
        "trace_id": outcome.trace_parent[3:35],
        "client": outcome.client,
        "method": outcome.method,
        "path": outcome.path[:_MOST_PATH],
        "model": outcome.model,
        "route": outcome.route,
        "endpoint": outcome.endpoint,
        "attempts": outcome.attempts,
        "status": outcome.status,
        "result": outcome.result.value,
        "code": outcome.code,
        "is_stream": outcome.is_stream,
        "seconds": round(outcome.seconds, 6),
        "queue_seconds": round(outcome.queue_seconds, 6),
        "first_byte_seconds": None if outcome.first_byte_seconds is None else round(outcome.first_byte_seconds, 6),
        "request_bytes": outcome.request_bytes,
        "answer_bytes": outcome.answer_bytes,
        "prompt_tokens": outcome.prompt_tokens,
        "completion_tokens": outcome.completion_tokens,
    }
    try:
        return orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)
    except orjson.JSONEncodeError:  # half a surrogate pair: bytes in a path that are no UTF-8
        return json.dumps(facts, separators=(",", ":"), default=_as_orjson).encode("ascii") + b"\n"


def _as_orjson(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


class _Writer:
    """Writes whole lines to a file or to standard output; blocks while it takes none."""

    def __init__(self, target: str) -> None:
        self._path = None if target == STDOUT else Path(target)
        self._number = -1
        self._most_bytes = _PIPE_BYTES
        self._has_failed = False

    def open(self) -> None:
        if self._path is None:
            self._number = sys.stdout.fileno()
        else:
            self._number = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        is_file = stat.S_ISREG(os.fstat(self._number).st_mode)
        self._most_bytes = _FILE_BYTES if is_file else _PIPE_BYTES

    def write(self, lines: Sequence[bytes]) -> None:
        try:
            self._reopen_moved()
            for piece in _pieces(lines, self._most_bytes):
                self._write_all(piece)
        except OSError as error:
            if not self._has_failed:
                log.warning("access log cannot be written", extra={"reason": error.strerror})
            self._has_failed = True
            raise
        self._has_failed = False

    def _reopen_moved(self) -> None:
        if self._path is None:
            return
        try:
            is_same = os.path.samestat(self._path.stat(), os.fstat(self._number))
        except FileNotFoundError:
            is_same = False
        if not is_same:
            old = self._number
            self.open()
            os.close(old)

    def _write_all(self, piece: bytes) -> None:
        rest = memoryview(piece)
        while rest:
            try:
                rest = rest[os.write(self._number, rest) :]
            except BlockingIOError:  # a terminal that somebody made non-blocking
                select.select((), (self._number,), (), _WAIT_SECONDS)


def _pieces(lines: Sequence[bytes], most_bytes: int) -> Iterator[bytes]:
    """Yield the lines joined, each piece of so many bytes at most, or one line."""
    piece = bytearray()
    for each in lines:
        if piece and len(piece) + len(each) > most_bytes:
            yield bytes(piece)
            piece.clear()
        piece += each
    if piece:
        yield bytes(piece)
