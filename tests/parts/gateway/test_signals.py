"""What a gateway hears of signals, on the loop that it runs on."""

import subprocess
import sys
import textwrap

import pytest

SCRIPT = """
    import asyncio, os, signal, threading, uvloop
    from rayfleet_gateway.planes.python.signals import hear_signals

    async def work():
        heard = []
        hear_signals(lambda: heard.append("stop"), lambda: heard.append("hurry"))
        {steps}
        print(*heard)

    uvloop.run(work())
    {after}
"""


def test_a_signal_that_comes_while_the_loop_looks_at_another_one_is_heard_once() -> None:
    """Uvloop tells handlers of its own of it twice; the second was a hurry, and cut what ran."""
    steps = """
        signal.signal(signal.SIGURG, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        here = threading.get_ident()
        threading.Timer(0.2, signal.pthread_kill, (here, signal.SIGURG)).start()  # the loop waits for events then
        while not heard:
            await asyncio.sleep(0.5)
    """
    assert _printed(steps) == "stop\n"


def test_the_same_signal_once_more_is_a_hurry_and_another_one_is_none() -> None:
    steps = """
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            before = len(heard)
            os.kill(os.getpid(), number)
            while len(heard) == before:
                await asyncio.sleep(0.01)
    """
    assert _printed(steps) == "stop stop stop hurry\n"


def test_a_hurry_alone_stops_too() -> None:
    """It only armed the next signal, which then cut what ran."""
    steps = """
        os.kill(os.getpid(), signal.SIGUSR2)
        while not heard:
            await asyncio.sleep(0.01)
    """
    assert _printed(steps) == "stop hurry\n"


@pytest.mark.parametrize("can_be_told", [True, False])
def test_a_parent_is_gone_when_its_last_thread_is(can_be_told: bool) -> None:
    """PR_SET_PDEATHSIG came when its first one had ended: a worker that looked saw its parent still there."""
    way = "signals._LOOK_SECONDS = 600" if can_be_told else "del os.pidfd_open"
    child = f"""
        import asyncio, os, sys, uvloop
        from rayfleet_gateway.planes.python import signals
        {way}
        async def work():
            parent = os.getppid()
            gone = asyncio.create_task(signals.until_gone(parent))
            await asyncio.sleep(0)  # it watches
            print("child", flush=True)
            sys.stdin.read(1)  # the first thread has ended
            await asyncio.sleep(1.5)
            print("gone" if gone.done() else "there", os.getppid() == parent, flush=True)
            await asyncio.wait_for(gone, 60)
            print("gone", os.getppid() == parent, flush=True)
        uvloop.run(work())
    """
    parent = f"""
        import ctypes, os, subprocess, sys, threading, time
        child = subprocess.Popen([sys.executable, "-c", {textwrap.dedent(child)!r}], stdin=subprocess.PIPE)
        def outlive():
            sys.stdin.readline()
            child.stdin.write(b"x")
            child.stdin.flush()
            sys.stdin.readline()
            os._exit(0)
        threading.Thread(target=outlive).start()
        ctypes.CDLL(None).pthread_exit(None)
    """
    command = [sys.executable, "-c", textwrap.dedent(parent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "child\n"
        for answer in ("there True\n", "gone False\n"):
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == answer


def test_a_parent_that_has_ended_already_is_gone() -> None:
    steps = """
        from rayfleet_gateway.planes.python.signals import until_gone
        await until_gone(1 << 22)  # more than the kernel gives
    """
    assert _printed(steps) == "\n"


def test_a_signal_after_the_loop_is_nothing() -> None:
    """It raised in whatever ran then."""
    assert _printed("pass", "os.kill(os.getpid(), signal.SIGTERM)") == "\n"


def test_ignored_signals_stay_so_when_the_loop_is_closed() -> None:
    steps = """
        from rayfleet_gateway.planes.python.signals import ignore_signals
        ignore_signals()
    """
    after = "[os.kill(os.getpid(), number) for number in (2, 10, 12, 15)]"
    assert _printed(steps, after) == "\n"


def _printed(steps: str, after: str = "") -> str:
    script = textwrap.dedent(SCRIPT).format(steps=textwrap.indent(textwrap.dedent(steps), "    ").strip(), after=after)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout
