"""Byte strings that are nearly requests, from a seed: each is refused in our shape, answered, or waited for."""

import asyncio
import random
from collections import Counter

from tests.attack.scene import Scene
from tests.attack.wire import HOST, Answer, chunked, prompt, read_answer, request

_SEED = 20_260_101
_WORKERS = 64
_WAIT_SECONDS = 0.5
_SEEDS = (
    request(prompt("plain")),
    request(prompt("stream")) * 2,
    request(b"", more="Transfer-Encoding: chunked\r\n", is_framed=False) + chunked(prompt("plain"), 7, b";a=b"),
    request(prompt("plain"), more="Content-Type: application/json\r\nmodel: m\r\nExpect: 100-continue\r\n"),
    request(prompt("plain"), more="Connection: keep-alive, Upgrade\r\nUpgrade: h2c\r\nX-Trace: 7\r\n"),
    b"GET /v1/models HTTP/1.1\r\nHost: gateway\r\n\r\n",
    b"POST http://gateway/v1/completions?a=%20 HTTP/1.0\r\nHost: gateway\r\nContent-Length: 2\r\n\r\n{}",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
)
_PIECES = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b"\t",
        b":",
        b";",
        b",",
        b"0",
        b"-1",
        b"+1",
        b"0x1",
        b"\xff",
        b"%00",
        b"%2e%2e",
    ),
    *(b"chunked", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Host: other\r\n", b"HTTP/1.1", b"{}"),
    *(b"99999999999999999999", b"Connection: close\r\n", b"\r\n\r\n", b"model: n\r\n", b"\xef\xbb\xbf", b"\\u0000"),
)


def mutated(chance: random.Random) -> bytes:
    """Return a request with one to five things changed: bytes, pieces put in, taken out, doubled, cut off."""
    data = bytearray(chance.choice(_SEEDS))
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(len(data) + 1)
        span = chance.randint(1, 12)
        match chance.randrange(6):
            case 0:
                data[at:at] = chance.choice(_PIECES)
            case 1:
                data[at : at + span] = b""
            case 2:
                data[at:at] = data[at : at + span]
            case 3:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 4:
                data[at : at + span] = chance.randbytes(span)
            case _:
                del data[at + 30 :]
    return bytes(data)


async def fuzz(scene: Scene) -> None:
    """Send them all, each on a connection of its own."""
    chance = random.Random(_SEED)  # noqa: S311 - to be the same each time
    left = [mutated(chance) for _ in range(scene.size.fuzz)]
    statuses: Counter[int] = Counter()
    wrong: list[str] = []

    async def work() -> None:
        while left:
            data = left.pop()
            answer = await _told(scene.port, data)
            statuses[answer.status] += 1
            if answer.status >= 400 and answer.is_whole and not answer.is_ours:
                wrong.append(f"{answer.status} {answer.body[:80]!r} to {data!r}")

    await asyncio.gather(*(work() for _ in range(_WORKERS)))
    scene.verdict.figures |= {"statuses": dict(sorted(statuses.items()))}
    scene.verdict.expect(f"{len(wrong)} errors are not in our shape: {wrong[:3]}", holds=not wrong)
    scene.verdict.expect(f"no fault of ours: {statuses[500]} with 500", holds=not statuses[500])


async def _told(port: int, data: bytes) -> Answer:
    """Send bytes; return the first answer, or none when there is none soon."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(data)
        async with asyncio.timeout(_WAIT_SECONDS):
            return await read_answer(reader)
    except TimeoutError:
        return Answer()
    finally:
        writer.transport.abort()
