"""``python engine.py HOST PORT cuda|host``: an engine whose every token is a product of matrices on a device.

It runs in whatever Python has torch, so it needs the standard library and that alone. One thread of work, as an
engine has: each token takes the device, and so does ``POST /block?seconds=N``, whose kernel keeps it that long. ``GET
/health`` asks nobody, as those of engines do. ``POST /allocate?bytes=N`` holds memory of the device; the page tells how
much of it is used, by all.

``host`` stands for a device on machines without one: the same server on plain numbers, so that all but the device is
tried there.
"""

import json
import sys
import threading
import time
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

_MATRIX = 1024
_CALIBRATION_CYCLES = 100_000_000
_TOKEN_PAUSE_SECONDS = 0.01  # tokens of a long request are no faster than an engine's


class Device(Protocol):
    """What the engine computes on."""

    def step(self) -> None:
        """Compute once and wait for the result."""
        ...

    def block(self, seconds: float) -> None:
        """Keep the device for that long; whoever computes next waits."""
        ...

    def allocate(self, size: int) -> None:
        """Hold so many bytes more."""
        ...

    def used_bytes(self) -> int:
        """Return what is used of the device's memory, by all processes."""
        ...


class Cuda:
    """The first CUDA device, by torch."""

    def __init__(self) -> None:
        import torch

        self._torch = torch
        self._left = torch.ones(_MATRIX, _MATRIX, device="cuda", dtype=torch.float16)
        self._held: list[Any] = []
        self.step()
        began = time.monotonic()
        torch.cuda._sleep(_CALIBRATION_CYCLES)
        torch.cuda.synchronize()
        self._cycles_per_second = _CALIBRATION_CYCLES / (time.monotonic() - began)

    def step(self) -> None:
        """Multiply on the default stream, behind whatever is queued there."""
        _ = self._left @ self._left
        self._torch.cuda.synchronize()  # without Python's lock, so that the page can be asked meanwhile

    def block(self, seconds: float) -> None:
        """Queue one kernel that spins."""
        self._torch.cuda._sleep(int(self._cycles_per_second * seconds))

    def allocate(self, size: int) -> None:
        """Hold a tensor."""
        self._held.append(self._torch.ones(size, device="cuda", dtype=self._torch.uint8))

    def used_bytes(self) -> int:
        """Return what the driver says."""
        free, total = self._torch.cuda.mem_get_info()
        return int(total - free)


class Host:
    """No device: plain numbers, a lock, and this process's own memory."""

    def __init__(self) -> None:
        self._taken = threading.Lock()
        self._held: list[bytearray] = []

    def step(self) -> None:
        """Add some numbers when nobody keeps the lock."""
        with self._taken:
            sum(range(_MATRIX))

    def block(self, seconds: float) -> None:
        """Keep the lock, in a thread of its own: a kernel is queued at once too."""
        self._taken.acquire()
        timer = threading.Timer(seconds, self._taken.release)
        timer.daemon = True
        timer.start()

    def allocate(self, size: int) -> None:
        """Hold bytes that are really there."""
        self._held.append(bytearray(b"\1") * size)

    def used_bytes(self) -> int:
        """Return the resident memory."""
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * 4096


class Work:
    """The one line of work: its requests, and the steps that it has taken."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._one = threading.Lock()
        self._counts = threading.Lock()
        self.running = 0
        self.steps = 0

    def generate(self, tokens: int) -> None:
        """Take as many steps."""
        with self._counts:
            self.running += 1
        try:
            for _ in range(tokens):
                with self._one:
                    self.device.step()
                with self._counts:
                    self.steps += 1
                time.sleep(_TOKEN_PAUSE_SECONDS)
        finally:
            with self._counts:
                self.running -= 1

    def page(self) -> str:
        """Return the metrics."""
        series = {
            "gpu_engine:running": ("gauge", self.running),
            "gpu_engine:steps_total": ("counter", self.steps),
            "gpu_engine:device_memory_used_bytes": ("gauge", self.device.used_bytes()),
        }
        return "".join(f"# TYPE {name} {kind}\n{name} {value}\n" for name, (kind, value) in series.items())


class Handler(BaseHTTPRequestHandler):
    """Answers for ``work``, which whoever makes a server gives it."""

    protocol_version = "HTTP/1.1"
    work: Work

    def do_GET(self) -> None:
        """Answer the page of metrics, the one model, and that all is well."""
        if self.path == "/metrics":
            self._answer(self.work.page().encode(), "text/plain; version=0.0.4")
        elif self.path == "/v1/models":
            self._tell({"object": "list", "data": [{"id": "gpu", "object": "model"}]})
        else:
            self._tell({"status": "ok"})

    def do_POST(self) -> None:
        """Block, allocate, or generate."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        query = {name: float(values[0]) for name, values in parse_qs(parts.query).items()}
        if parts.path == "/block":
            self.work.device.block(query["seconds"])
        elif parts.path == "/allocate":
            self.work.device.allocate(int(query["bytes"]))
        else:
            self.work.generate(int(json.loads(body).get("max_tokens") or 1))
        self._tell({"object": "text_completion", "choices": [{"index": 0, "text": "a", "finish_reason": "length"}]})

    def _tell(self, value: object) -> None:
        self._answer(json.dumps(value).encode(), "application/json")

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the base class gives
        """Stay silent."""


class Server(ThreadingHTTPServer):
    """Whose threads end with the process."""

    daemon_threads = True


def make_server(host: str, port: int, work: Work) -> ThreadingHTTPServer:
    """Return a bound server."""
    return Server((host, port), type("Handler", (Handler,), {"work": work}))


def main(words: Sequence[str]) -> None:
    """Serve for ever."""
    host, port, device = words
    work = Work(Cuda() if device == "cuda" else Host())
    make_server(host, int(port), work).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
