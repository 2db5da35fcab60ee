"""The run: an engine on a device, the real sidecar beside it, and what must be seen of the two.

Each step says in one line what it saw and when; the first that does not come raises AssertionError.
"""

import contextlib
import json
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rayfleet.testing.waiting import wait_until

HOST = "127.0.0.1"
STALL_SECONDS = 2
BLOCKED_SECONDS = 20.0  # stalls are looked for every five seconds
HELD_BYTES = 256 << 20
START_SECONDS = 120.0  # the import of torch, and its first kernel
SEEN_SECONDS = 18.0
BACK_SECONDS = 60.0
_TOKENS = 200
_MEMORY = re.compile(r"^gpu_engine:device_memory_used_bytes (\S+)$", re.MULTILINE)

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """``python`` runs the engine on ``device`` (``cuda`` or ``host``); both servers listen at these ports."""

    python: Path
    device: str
    engine_port: int
    sidecar_port: int
    folder: Path

    @property
    def engine(self) -> str:
        """Return the engine's URL."""
        return f"http://{HOST}:{self.engine_port}"

    @property
    def sidecar(self) -> str:
        """Return the sidecar's URL."""
        return f"http://{HOST}:{self.sidecar_port}"


def carry_out(run: Run, say: Say) -> None:
    """Go through all of it. Raises AssertionError at the first step that fails."""
    with _processes(run):
        _becomes_ready(run, say)
        _tells_memory(run, say)
        _finds_a_blocked_kernel(run, say)
        _comes_back(run, say)


def _until_ready(run: Run, what: str, limit: float) -> None:
    wait_until(lambda: _ready(run), what, limit, holds=lambda answer: answer[0] == 200)


def _becomes_ready(run: Run, say: Say) -> None:
    began = time.monotonic()
    _until_ready(run, "it is ready", START_SECONDS)
    say(f"ready {time.monotonic() - began:.1f} s after the start, by a token that the device computed")


def _tells_memory(run: Run, say: Say) -> None:
    before = _memory(run)
    _post(f"{run.engine}/allocate?bytes={HELD_BYTES}")
    after = wait_until(
        lambda: _memory(run), "the page tells of it", BACK_SECONDS, holds=lambda now: now - before >= 0.9 * HELD_BYTES
    )
    say(f"memory in use, by the sidecar's page: {before / 2**20:.0f} MiB, then {after / 2**20:.0f} MiB")


def _finds_a_blocked_kernel(run: Run, say: Say) -> None:
    # Its health check may have been late while it took the memory: then it warms up anew, which no kernel may block.
    _until_ready(run, "it is ready with its memory", BACK_SECONDS)
    client = threading.Thread(target=_post, args=(f"{run.engine}/v1/completions", {"max_tokens": _TOKENS}), daemon=True)
    client.start()
    _post(f"{run.engine}/block?seconds={BLOCKED_SECONDS}")
    began = time.monotonic()
    words = wait_until(lambda: _ready(run), "it is refused", SEEN_SECONDS, holds=lambda answer: answer[0] == 503)[1]
    reason = json.loads(words)["reason"]
    assert reason == "EngineStalled", f"a kernel that blocks is a stall, not {reason}: {words}"
    assert _get(f"{run.engine}/health")[0] == 200, "the engine's own health check sees nothing"
    say(f"a kernel that blocks: {reason} after {time.monotonic() - began:.1f} s, while /health says 200")


def _comes_back(run: Run, say: Say) -> None:
    began = time.monotonic()
    _until_ready(run, "it is ready again", BLOCKED_SECONDS + BACK_SECONDS)
    say(f"ready again {time.monotonic() - began:.1f} s later, when the kernel had ended")


@contextlib.contextmanager
def _processes(run: Run) -> Iterator[None]:
    """Run engine and sidecar; both are gone at the end. A failure comes with what they wrote."""
    engine = [str(run.python), str(Path(__file__).with_name("engine.py")), HOST, str(run.engine_port), run.device]
    series = ("--running-metrics=gpu_engine:running", "--steps-metrics=gpu_engine:steps_total")
    where = (f"--host={HOST}", f"--port={run.sidecar_port}", f"--engine-url={run.engine}", "--engine=gpu")
    rules = (f"--stall-seconds={STALL_SECONDS}", "--canary-seconds=0")
    sidecar = [sys.executable, "-m", "rayfleet_sidecar.main", *where, *series, *rules]
    with contextlib.ExitStack() as stack:
        logs = [run.folder / "engine.log", run.folder / "sidecar.log"]
        for command, log in zip((engine, sidecar), logs, strict=True):
            output = stack.enter_context(log.open("wb"))
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
            stack.callback(_end, process)
        try:
            yield
        except AssertionError as error:
            for log in logs:
                error.add_note(f"--- {log.name}\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
            raise


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait(10)


def _ready(run: Run) -> tuple[int, str]:
    return _get(f"{run.sidecar}/ready")


def _memory(run: Run) -> float:
    """Return the device's used memory as the sidecar's page tells it. Raises AssertionError when it does not."""
    status, page = _get(f"{run.sidecar}/metrics")
    series = _MEMORY.search(page)
    assert series is not None, f"no series of the device's memory on the sidecar's page ({status}):\n{page[-2000:]}"
    return float(series[1])


def _get(url: str) -> tuple[int, str]:
    """Return status and body; 0 when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own processes on loopback
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def _post(url: str, body: object = None) -> None:
    content, kind = json.dumps(body or {}).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(url, content, kind)  # noqa: S310 - as above
    with urllib.request.urlopen(request, timeout=BLOCKED_SECONDS + BACK_SECONDS) as response:  # noqa: S310 - as above
        response.read()
