"""The work queue: once in line, once at work, no wish lost, failures later and later."""

import asyncio
from datetime import timedelta

import pytest

from rayfleet.model.meta import ObjectKey
from rayfleet.reconciling.queue import QueueClosed, WorkQueue
from rayfleet.testing.waiting import LIMIT_SECONDS

A = ObjectKey(namespace="n", name="a")
B = ObjectKey(namespace="n", name="b")


async def test_a_key_stands_in_line_once() -> None:
    queue = WorkQueue()
    for _ in range(3):
        queue.add(A)
    queue.add(B)
    assert [await queue.get(), await queue.get()] == [A, B]
    assert len(queue) == 0


async def test_a_key_added_at_work_comes_back_after_it() -> None:
    queue = WorkQueue()
    queue.add(A)
    key = await queue.get()
    queue.add(A)
    assert len(queue) == 0
    assert not queue.is_idle
    queue.done(key)
    async with asyncio.timeout(LIMIT_SECONDS):
        assert await queue.get() == A
    queue.done(A)
    assert queue.is_idle


async def test_the_earliest_of_several_delays_counts() -> None:
    queue = WorkQueue()
    queue.add_after(A, timedelta(hours=1))
    queue.add_after(A, timedelta(milliseconds=1))
    queue.add_after(A, timedelta(hours=2))
    async with asyncio.timeout(LIMIT_SECONDS):
        assert await queue.get() == A


async def test_an_add_needs_no_delay() -> None:
    queue = WorkQueue()
    queue.add_after(A, timedelta(hours=1))
    queue.add(A)
    assert await queue.get() == A
    queue.close()


async def test_the_backoff_doubles_up_to_its_limit_and_is_forgotten_on_success() -> None:
    queue = WorkQueue(first_backoff=timedelta(seconds=1), longest_backoff=timedelta(seconds=5))
    delays = [queue.add_failed(A).total_seconds() for _ in range(5)]
    assert delays == [1, 2, 4, 5, 5]
    assert queue.add_failed(B).total_seconds() == 1
    queue.forget(A)
    assert queue.add_failed(A).total_seconds() == 1
    queue.close()


async def test_a_closed_queue_gives_what_is_in_line_and_then_ends() -> None:
    queue = WorkQueue()
    queue.add(A)
    queue.close()
    queue.add(B)
    assert await queue.get() == A
    with pytest.raises(QueueClosed):
        await queue.get()


async def test_a_waiting_worker_is_woken_by_the_end() -> None:
    queue = WorkQueue()
    waiting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue.close()
    with pytest.raises(QueueClosed):
        await waiting


async def test_two_workers_never_have_the_same_key() -> None:
    queue = WorkQueue()
    at_work: set[ObjectKey] = set()
    done = 0

    async def work() -> None:
        nonlocal done
        while True:
            try:
                key = await queue.get()
            except QueueClosed:
                return
            assert key not in at_work
            at_work.add(key)
            await asyncio.sleep(0)
            at_work.discard(key)
            done += 1
            queue.done(key)

    async def wish() -> None:
        for turn in range(200):
            queue.add((A, B)[turn % 2])
            await asyncio.sleep(0)
        queue.close()

    async with asyncio.timeout(LIMIT_SECONDS):
        await asyncio.gather(work(), work(), work(), wish())
    assert done > 50
