"""Attacks by quantity: on memory, on connections, on the time of the loop. Each is what one stranger can do.

Source: the faults H2, H3, M1, M7, M8, M9, M10 that the first gateway was measured with, and what they are kin to.
"""

import asyncio
import gzip
import json
from collections.abc import Iterable, Iterator, Sequence

from tests.attack.scene import Scene
from tests.attack.wire import HOST, Answer, asked, chunked, prompt, read_answer, request, zipped

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: gateway\r\n"
_BATCH = 100
_SLOW_PERIOD = 5.0
_SIP_BYTES = 1 << 20
_MODELS_SHOWN = 200


async def unfinished_heads(scene: Scene) -> None:
    """120 headers of 60 KB, never finished: 431 after the first that are too many."""
    data = HEAD + b"".join(b"X-%d: %s\r\n" % (number, b"y" * 60_000) for number in range(120))
    statuses = await statuses_of(scene.port, [data] * scene.size.heads)
    scene.verdict.expect(f"all got 431: {_tally(statuses)}", holds=set(statuses) == {431})


async def header_floods(scene: Scene) -> None:
    """Too many fields, empty fields, one endless line, an endless target."""
    kinds = (
        HEAD + b"".join(b"a%d: b\r\n" % number for number in range(5000)) + b"\r\n",
        HEAD + b"a:\r\n" * 20_000 + b"\r\n",
        HEAD + b"a: " + b"b" * (4 << 20),
        b"POST /" + b"v" * (4 << 20),
        HEAD + b"model: m\r\n" * 101 + b"Content-Length: 2\r\n\r\n{}",
    )
    statuses = await statuses_of(scene.port, kinds * scene.size.floods)
    scene.verdict.expect(f"all were refused: {_tally(statuses)}", holds=set(statuses) <= {400, 414, 431})


async def unfinished_bodies(scene: Scene) -> None:
    """31 MB of a body that lacks its last byte: within the budget of all bodies, and given up in time."""
    data = request(b"", more=f"Content-Length: {31 << 20}\r\n", is_framed=False) + b" " * ((31 << 20) - 1)
    statuses = await statuses_of(scene.port, [data] * scene.size.bodies)
    scene.verdict.expect(f"all got 408 or 503: {_tally(statuses)}", holds=set(statuses) <= {408, 503})


async def slow_senders(scene: Scene) -> None:
    """A byte each five seconds, of a head, of a body, or empty lines: gone after two windows of ten seconds."""
    opening = (HEAD, request(b"", more="Content-Length: 900\r\n", is_framed=False), b"\r\n")
    connections = await opened(scene.port, scene.size.slow)
    for number, (_, writer) in enumerate(connections):
        writer.write(opening[number % 3])
    left = scene.size.slow_seconds
    while left > 0:
        await asyncio.sleep(min(_SLOW_PERIOD, left))
        left -= _SLOW_PERIOD
        for number, (_, writer) in enumerate(connections):
            if not writer.is_closing():
                writer.write((b"a", b" ", b"\r\n")[number % 3])
    closed = sum(reader.at_eof() or writer.is_closing() for reader, writer in await _read_out(connections))
    scene.verdict.figures |= {"closed": closed}
    if scene.size.slow_seconds > 20:
        scene.verdict.expect(
            f"all are closed in time: {closed} of {len(connections)}", holds=closed == len(connections)
        )
    _abort(connections)


async def idle_after_a_request(scene: Scene) -> None:
    """Slow heads on connections that were used well before."""
    connections = await opened(scene.port, scene.size.slow // 4)
    for reader, writer in connections:
        writer.write(request(prompt("plain")))
        await read_answer(reader)
        writer.write(b"POST /v1/comp")
    await asyncio.sleep(scene.size.slow_seconds)
    statuses = [await _status(reader) if scene.size.slow_seconds > 20 else 408 for reader, _ in connections]
    scene.verdict.expect(f"all got 408: {_tally(statuses)}", holds=set(statuses) == {408})
    _abort(connections)


async def stalled_readers(scene: Scene) -> None:
    """Clients that ask for a stream of 16 MB and do not read it: at most 256 KiB each."""
    connections = await opened(scene.port, scene.size.stalled, receive_bytes=4096)
    before = scene.gateway.resident_mib()
    for _, writer in connections:
        writer.write(request(prompt("flood")))
    held = 0.0
    while held < (held := scene.gateway.resident_mib()):
        await asyncio.sleep(5)
    each = (scene.gateway.resident_mib() - before) * 1024 / len(connections)
    scene.verdict.figures |= {"KiB each": round(each)}
    scene.verdict.expect(f"{each:.0f} KiB each, at most 256", holds=each <= 256)
    _abort(connections)


async def pipelining(scene: Scene) -> None:
    """Many requests at once behind one another; first by a client that reads, then by those that never do."""
    total, one = scene.size.pipelined, request(prompt("page 200"))
    reader, writer = await asyncio.open_connection(HOST, scene.port)

    async def answered_well() -> int:
        answers = [await read_answer(reader) for _ in range(total)]
        return sum(answer.status == 200 and answer.is_whole for answer in answers)

    right, _ = await asyncio.gather(answered_well(), _send(writer, (one for _ in range(total))))
    writer.transport.abort()
    scene.verdict.expect(f"{right} of {total} pipelined requests were answered", holds=right == total)
    for data in (
        request(prompt("page 60000")),
        b"GET /v1/models HTTP/1.1\r\nHost: h\r\n\r\n",
        request(prompt("plain", "no-such-model")),
    ):
        await _sent_unread(scene.port, data, total // 10)


async def _sent_unread(port: int, data: bytes, times: int) -> None:
    """Send it so often by each of ten who never read, until all is sent or nothing more is taken from them."""
    sent, before = 0, -1

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(times):
            sent += 1
            yield data

    connections = await opened(port, 10, receive_bytes=4096)
    sends = [asyncio.create_task(_send(writer, pieces())) for _, writer in connections]
    while before != sent:
        before = sent
        await asyncio.sleep(2)  # what is taken in that time is what is asked
    for task in sends:
        task.cancel()
    await asyncio.gather(*sends, return_exceptions=True)
    _abort(connections)


async def file_limit(scene: Scene) -> None:
    """More connections than there may be files: what runs goes on, engines are reached, honest clients come in."""
    streaming = asyncio.create_task(asked(scene.port, request(prompt("slow-stream"))))
    reader, waiting = await asyncio.open_connection(HOST, scene.port)
    whole = request(prompt("plain"))
    waiting.write(whole[:-5])
    floods: list[_Connection] = []
    statuses: list[int] = []
    opening = (HEAD, b"", request(b"{", more="Content-Length: 900\r\n", is_framed=False))
    for number in range(scene.size.over_the_limit // 50):
        floods += await opened(scene.port, 50)
        for _, flooding in floods[-50:]:
            flooding.write(opening[number % 2])
        statuses.append((await asked(scene.port, request(prompt("plain")))).status)
    scene.verdict.expect(f"whoever asks is served: {_tally(statuses)}", holds=set(statuses) == {200})
    for number in range(scene.size.over_the_limit):
        floods += await opened(scene.port, 1)
        floods[-1][1].write(opening[2 if number < 250 else 0])
    waiting.write(whole[-5:])
    statuses = [(await read_answer(reader)).status, (await streaming).status]
    scene.verdict.expect(f"those who were in are served: {statuses}", holds=statuses == [200, 200])
    _abort([*floods, (reader, waiting)])
    await asyncio.sleep(0.5)
    after = await asked(scene.port, request(prompt("plain")))
    scene.verdict.expect(f"new clients come in afterwards: {after.status}", holds=after.status == 200)


async def random_models(scene: Scene) -> None:
    """Models that nobody serves: 404, and no series of their own."""
    names = [f"model-{number}-{'x' * (number % 50)}" for number in range(scene.size.models)]
    statuses = []
    for start in range(0, len(names), _BATCH):
        answers = await asyncio.gather(
            *(asked(scene.port, request(prompt("plain", name))) for name in names[start : start + _BATCH])
        )
        statuses += [answer.status for answer in answers]
    scene.verdict.expect(f"all got 404: {_tally(statuses)}", holds=set(statuses) == {404})
    metrics = await scene.gateway.metrics()
    models = {value for _, labels in metrics for name, value in labels if name == "model"}
    scene.verdict.expect(f"series of models: {sorted(models)[:5]}", holds=models <= {"m", "unknown"})


async def many_chunks(scene: Scene) -> None:
    """Bodies in chunks of one byte, with extensions, with trailers; and answers in chunks of one byte."""
    body = prompt("plain", filler="x" * 200_000)
    framed = "Transfer-Encoding: chunked\r\n"
    kinds = [
        request(b"", more=framed, is_framed=False) + chunked(body, 1),
        request(b"", more=framed, is_framed=False) + chunked(body[:2000] + b"", 1, b";a=" + b"b" * 4000),
        request(b"", more=framed, is_framed=False) + chunked(body, 50_000)[:-2] + b"A: b\r\n" * 100_000 + b"\r\n",
        request(prompt("tiny-chunks 300000")),
    ]
    statuses = await statuses_of(scene.port, kinds * max(1, scene.size.floods // 4))
    scene.verdict.expect(f"each was answered: {_tally(statuses)}", holds=set(statuses) <= {200, 400})
    scene.verdict.expect(f"small chunks are no fault: {_tally(statuses)}", holds=200 in statuses)


async def gzip_bombs(scene: Scene) -> None:
    """Bodies of some KB that unpack to the limit, past it, and are hard to look through."""
    kinds = (zipped(60 << 20), zipped(8 << 20), gzip.compress(b" " * (80 << 20), 6), gzip.compress(b"no json"))
    data = [request(kinds[number % 4], more="Content-Encoding: gzip\r\n") for number in range(scene.size.bombs)]
    statuses = await statuses_of(scene.port, data)
    expected = {200, 400, 413, 503}
    scene.verdict.figures |= {"statuses": _tally(statuses)}
    scene.verdict.expect(f"each was answered: {_tally(statuses)}", holds=set(statuses) <= expected)


async def leavers(scene: Scene) -> None:
    """Clients that go at every stage, by a close or a reset."""
    whole = request(prompt("slow-stream"))
    plain = request(prompt("plain"))
    cases = [(whole[:at], 0.0) for at in (0, 5, 40, len(whole) - 3)] + [(plain, 0.0), (plain, 0.001), (plain, 0.003)]
    cases += [(whole, wait) for wait in (0.0, 0.005, 0.02, 0.15)]
    cases += [(request(zipped(8 << 20), more="Content-Encoding: gzip\r\n"), 0.02)]
    cases += [(request(prompt("hangs")), 0.02), (request(prompt("flood")), 0.05)]

    async def leave(number: int) -> None:
        data, wait = cases[number % len(cases)]
        _, writer = await asyncio.open_connection(HOST, scene.port)
        writer.write(data)
        await asyncio.sleep(wait)
        if number % 2:
            writer.close()
        else:
            writer.transport.abort()

    for start in range(0, scene.size.leavers, _BATCH):
        await asyncio.gather(*(leave(number) for number in range(start, min(start + _BATCH, scene.size.leavers))))


async def odd_questions(scene: Scene) -> None:
    """Bodies that take long to read: tool messages, escapes, nesting, many keys, a form without an end."""
    tools = [{"role": "tool", "content": "ok", "tool_call_id": f"c{number}"} for number in range(20_000)]
    bodies = (
        json.dumps({"messages": tools, "model": "m", "prompt": "plain"}).encode(),
        b'{"prompt": "' + b'\\"' * (5 << 19) + b'", "model": "m"}',
        b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b', "model": "m"}',
        json.dumps({f"k{number}": 1 for number in range(100_000)} | {"model": "m"}).encode(),
    )
    statuses = await statuses_of(scene.port, [request(body) for body in bodies] * max(1, scene.size.floods // 4))
    scene.verdict.expect(f"each was answered: {_tally(statuses)}", holds=set(statuses) <= {200, 400})


async def opened(port: int, count: int, receive_bytes: int = 0) -> Sequence[_Connection]:
    """Open connections, some at a time; small ``receive_bytes`` fill up soon."""
    opened: list[_Connection] = []
    limit = receive_bytes or 1 << 16
    while len(opened) < count:
        number = min(_BATCH, count - len(opened))
        opened += await asyncio.gather(*(asyncio.open_connection(HOST, port, limit=limit) for _ in range(number)))
    return opened


async def statuses_of(port: int, requests: Iterable[bytes]) -> Sequence[int]:
    """Send each on a connection of its own, all at once; return the status of each answer, 0 for none."""

    async def one(data: bytes) -> int:
        reader, writer = await asyncio.open_connection(HOST, port)
        sending = asyncio.create_task(
            _send(writer, (data[at : at + _SIP_BYTES] for at in range(0, len(data), _SIP_BYTES)))
        )
        try:
            return (await read_answer(reader)).status
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            writer.transport.abort()

    return await asyncio.gather(*(one(data) for data in requests))


async def _send(writer: asyncio.StreamWriter, pieces: Iterable[bytes]) -> None:
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
    except OSError:  # it was refused before it was whole
        return


async def _status(reader: asyncio.StreamReader) -> int:
    answer: Answer = await read_answer(reader)
    return answer.status


async def _read_out(connections: Sequence[_Connection]) -> Sequence[_Connection]:
    """Read what was sent to them, so that an end shows."""
    for reader, _ in connections:
        try:
            async with asyncio.timeout(0.05):
                await reader.read(1 << 16)
                await reader.read(1)
        except (TimeoutError, OSError):
            continue
    return connections


def _abort(connections: Iterable[_Connection]) -> None:
    for _, writer in connections:
        writer.transport.abort()


def _tally(statuses: Sequence[int]) -> dict[int, int]:
    return {status: statuses.count(status) for status in sorted(set(statuses))}
