"""Chunked framing: however it is cut, and in steps of a bounded length (rayfleet_gateway.planes.python.framing)."""

import pytest

from rayfleet_gateway.planes.python.bodies import BodyReader
from rayfleet_gateway.planes.python.framing import LAST_CHUNK, ChunkReader, chunk

SMALL = b"".join(chunk(b"%d" % (number % 10)) for number in range(1000)) + LAST_CHUNK


def read_out(reader: ChunkReader, data: bytes) -> tuple[bytes, int]:
    """Return the content, and the steps that it took."""
    content, steps = reader.feed(data), 1
    while reader.is_behind:
        content += reader.feed(b"")
        steps += 1
    return content, steps


def test_many_small_chunks_take_many_steps_and_lose_nothing() -> None:
    reader = ChunkReader()
    content, steps = read_out(reader, SMALL + b"GET ")
    assert content == b"0123456789" * 100
    assert (reader.is_done, reader.error, reader.rest) == (True, "", b"GET ")
    assert steps >= 20


@pytest.mark.parametrize("cut", [1, 2, 7, 600, 1234, len(SMALL) - 1])
def test_what_comes_while_it_is_behind_is_read_after_it(cut: int) -> None:
    reader = ChunkReader()
    content = reader.feed(SMALL[:cut])
    more, _ = read_out(reader, SMALL[cut:])
    assert content + more == b"0123456789" * 100
    assert reader.is_done


def test_big_chunks_take_one_step() -> None:
    reader = ChunkReader()
    assert read_out(reader, chunk(b"x" * 100_000) * 3 + LAST_CHUNK) == (b"x" * 300_000, 1)


def test_an_error_is_the_end_of_being_behind() -> None:
    reader = ChunkReader()
    content, _ = read_out(reader, SMALL[: -len(LAST_CHUNK)] + b"ZZ\r\n")
    assert content == b"0123456789" * 100
    assert (reader.error != "", reader.is_behind) == (True, False)


def test_a_body_says_that_it_is_behind() -> None:
    body, steps = BodyReader(None), 1
    body.feed(SMALL)
    while body.is_behind:
        body.feed(b"")
        steps += 1
    assert (body.is_done, body.whole()) == (True, b"0123456789" * 100)
    assert steps >= 20
    assert not BodyReader(5).is_behind
