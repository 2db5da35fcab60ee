"""Every process of ours: works until a signal, says its errors as sentences."""

import asyncio
import signal
import subprocess
import sys
import textwrap

import pytest

from rayfleet.model.errors import SettingsError
from rayfleet.process import exit_code, stop_event, until_stopped
from rayfleet.testing.waiting import LIMIT_SECONDS

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_signal_cancels_the_work_and_is_no_error(number: signal.Signals) -> None:
    cleaned_up = asyncio.Event()

    async def work() -> None:
        asyncio.get_running_loop().call_soon(signal.raise_signal, number)
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up.set()

    async with asyncio.timeout(LIMIT_SECONDS):
        await until_stopped(work())
    assert cleaned_up.is_set()


async def test_work_that_ends_ends_the_wait_with_its_error() -> None:
    async def work() -> None:
        raise SettingsError("--port 0 is no port")

    with pytest.raises(SettingsError):
        await until_stopped(work())
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, "signals are as before"


async def test_a_cancellation_from_outside_stays_one() -> None:
    task = asyncio.ensure_future(until_stopped(asyncio.Event().wait()))  # type: ignore[arg-type]  # its value is unused
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_stop_event_hears_a_signal() -> None:
    stop = stop_event()
    signal.raise_signal(signal.SIGTERM)
    async with asyncio.timeout(LIMIT_SECONDS):
        await stop.wait()


def test_our_errors_are_sentences_and_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ExceptionGroup("several", [SettingsError("one", way_out="do this"), SettingsError("two")])

    assert exit_code(fail) == 1
    assert capsys.readouterr().err == "error: one\n  do this\nerror: two\n"
    assert exit_code(lambda: None) == 0


def test_a_process_ends_with_its_clean_up_done() -> None:
    script = """
        import asyncio, signal
        from rayfleet.process import until_stopped

        async def work():
            try:
                signal.raise_signal(signal.SIGTERM)
                await asyncio.Event().wait()
            finally:
                print("clean")

        asyncio.run(until_stopped(work()))
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ended.stdout == "clean\n"


def test_signals_are_heeded_again_after_a_library_took_them() -> None:
    """Ray puts a handler of its own in place when a driver joins; it aborts the process 3 s after SIGTERM."""
    script = """
        import asyncio, ctypes, signal
        from rayfleet.process import heed_signals, stop_event

        async def work():
            stop = stop_event()
            ctypes.CDLL(None).signal(signal.SIGTERM, 0)  # behind Python's back: the default, which kills
            heed_signals(stop)
            signal.raise_signal(signal.SIGTERM)
            await asyncio.wait_for(stop.wait(), 60)
            print("heeded")

        asyncio.run(work())
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ended.stdout == "heeded\n"


async def test_a_second_signal_does_not_cut_the_clean_up() -> None:
    steps: list[str] = []

    async def work() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(signal.raise_signal, signal.SIGTERM)
        try:
            await asyncio.Event().wait()
        finally:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0.01)
            steps.append("cleaned up")

    async with asyncio.timeout(LIMIT_SECONDS):
        await until_stopped(work())
    assert steps == ["cleaned up"]
