"""Plays a raw request against a gateway: an engine that records what it sees, a client that reads what it is told.

Behind each case the client sends one good request that closes. It must be answered where the gateway goes on, and must
not be where it may not: so a connection that lost its place shows.
"""

import asyncio
import json
import socket
from dataclasses import dataclass, field
from typing import Self

from rayfleet.testing.raw_requests.cases import TARGET, RawCase, Seen, written

_LIMIT_SECONDS = 60
_PROBE_TARGET = TARGET + b"?probe"
PROBE = written(b"Connection: close", line=b"POST " + _PROBE_TARGET + b" HTTP/1.1")
_PROBED = Seen(target=_PROBE_TARGET)
_ENDED_HERE = (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade", b"expect")
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request as it came to the engine: its head's lines, and its body."""

    lines: tuple[bytes, ...]
    body: bytes

    @property
    def seen(self) -> Seen:
        """What is compared."""
        method, target, _ = self.lines[0].split(b" ")
        return Seen(method=method, target=target, body=self.body)

    def names(self) -> list[bytes]:
        """Return the names of its headers in lower case, in order."""
        return [line.partition(b":")[0].lower() for line in self.lines[1:]]


@dataclass(slots=True)
class Recorder:
    """An engine that answers all with 200 and notes what it sees, byte by byte; ``async with`` runs it.

    ``listening`` is where it listens; by default it is a free port on loopback.
    """

    listening: socket.socket | None = None
    port: int = 0
    recorded: list[Recorded] = field(default_factory=list)
    _server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        sock = self.listening or socket.create_server(("127.0.0.1", 0))
        self._server = await asyncio.start_server(self._serve, sock=sock, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = tuple(head[:-4].split(b"\r\n"))
                length = [int(line.partition(b":")[2]) for line in lines if line.lower().startswith(b"content-length:")]
                self.recorded.append(Recorded(lines, await reader.readexactly(sum(length))))
                writer.write(_ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer to the client."""

    status: int
    lines: tuple[bytes, ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a case. ``is_closed``: by the gateway, in time."""

    answers: tuple[Answered, ...]
    recorded: tuple[Recorded, ...]
    is_closed: bool


async def play(case: RawCase, port: int, recorder: Recorder) -> Played:
    """Send a case and the good request behind it to the gateway at ``port`` on loopback; return what came of it."""
    before = len(recorder.recorded)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    is_closed = True
    received = b""
    try:
        async with asyncio.timeout(_LIMIT_SECONDS):
            writer.write(case.sent + (b"" if case.is_last else PROBE))
            while data := await reader.read(1 << 16):
                received += data
    except TimeoutError:
        is_closed = False
    except ConnectionError:
        pass
    finally:
        writer.close()
    return Played(answers_in(received), tuple(recorder.recorded[before:]), is_closed)


def answers_in(received: bytes) -> tuple[Answered, ...]:
    """Return the answers in what a client received, without interim ones; what is no answer becomes one of status 0."""
    answers: list[Answered] = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        lines = tuple(head.split(b"\r\n"))
        words = lines[0].split(b" ")
        if len(words) < 2 or not words[1].isdigit():
            return (*answers, Answered(0, lines, rest))
        lengths = [int(line.partition(b":")[2]) for line in lines if line.lower().startswith(b"content-length:")]
        if words[1] != b"100":
            answers.append(Answered(int(words[1]), lines, rest[: sum(lengths)]))
        received = rest[sum(lengths) :]
    return tuple(answers)


def faults(case: RawCase, played: Played) -> list[str]:
    """Return what is wrong, one sentence each; empty when all is as it must be."""
    statuses = tuple(answer.status for answer in played.answers)
    seen = tuple(recorded.seen for recorded in played.recorded)
    wrong = [] if played.is_closed else ["the connection was not closed in time"]
    if (statuses, seen) not in _allowed(case, statuses):
        wrong.append(f"answered {statuses}, seen {seen}")
    wrong += [fault for recorded in played.recorded for fault in _framing_faults(recorded)]
    wrong += [f"not in OpenAI's shape: {answer.body[:100]!r}" for answer in played.answers if not _is_shaped(answer)]
    for recorded in played.recorded[: len(case.seen)]:
        wrong += [f"{name!r} went on" for name in case.absent if name.lower() in recorded.names()]
        wrong += [f"{line!r} did not go on" for line in case.present if line not in recorded.lines]
    return wrong


def _allowed(case: RawCase, statuses: tuple[int, ...]) -> list[tuple[tuple[int, ...], tuple[Seen, ...]]]:
    """Return the pairs of statuses and of what was seen that are right."""
    good = tuple(200 for _ in case.seen)
    if not case.refusals:
        probed = () if case.is_last else (_PROBED,)
        allowed = [((*good, *(200 for _ in probed)), (*case.seen, *probed))]
        return [*allowed, ((*good[:-1], 400), case.seen[:-1])] if case.may_refuse else allowed
    refusal = statuses[len(good)] if len(statuses) > len(good) and statuses[len(good)] in case.refusals else 0
    allowed = [((*good, refusal), case.seen)]
    return allowed if case.must_close else [*allowed, ((*good, refusal, 200), (*case.seen, _PROBED))]


def _framing_faults(recorded: Recorded) -> list[str]:
    names = recorded.names()
    wrong = [f"{name!r} went on" for name in _ENDED_HERE if name in names]
    wrong += [f"{name!r} has a `_`" for name in names if b"_" in name]
    if names.count(b"host") != 1 or names.count(b"content-length") > 1 or b"transfer-encoding" in names:
        wrong.append(f"it is framed by {recorded.lines!r}")
    if recorded.body and b"content-length" not in names:
        wrong.append("a body without a length")
    return wrong


def _is_shaped(answer: Answered) -> bool:
    if answer.status < 400:
        return True
    try:
        content = json.loads(answer.body)
    except ValueError:
        return False
    match content:
        case {"error": {"message": str(), "type": str(), "param": _, "code": str() as code}}:
            return bool(code)
        case _:
            return False
