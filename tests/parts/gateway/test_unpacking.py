"""Packed bodies that are refused leave nothing behind (rayfleet_gateway.planes.python.unpacking)."""

import asyncio
import gc
import gzip
import tracemalloc

import pytest

from rayfleet_gateway.model.errors import BodyTooLarge, UnreadableBody, UnsupportedCoding
from rayfleet_gateway.planes.python.unpacking import Unpacking

MIB = 1 << 20
LIMIT = 16 * MIB
BOMB = gzip.compress(b" " * (LIMIT + MIB))
CUT_OFF = gzip.compress(b" " * LIMIT)[:-9]
REFUSED = [(BOMB, "gzip", BodyTooLarge), (CUT_OFF, "gzip", UnreadableBody), (BOMB, "br", UnsupportedCoding)]


@pytest.mark.parametrize(("body", "coding", "error"), REFUSED, ids=["too large", "cut off", "unknown coding"])
async def test_a_refused_body_is_let_go_before_any_collection_of_circles(
    body: bytes, coding: str, error: type[Exception]
) -> None:
    unpacking = Unpacking(asyncio.get_running_loop())
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        assert type(await unpacking.unpacked(body, coding, LIMIT)) is error
        assert tracemalloc.get_traced_memory()[0] < MIB
    finally:
        tracemalloc.stop()
        gc.enable()
        unpacking.close()
