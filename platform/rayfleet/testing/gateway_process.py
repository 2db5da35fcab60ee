"""The gateway as the command that it is, over files or an API server, with the deadlines of the data plane's suite."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from rayfleet.model.json import ReadOnlyJson
from rayfleet.testing.ports import held_ports
from rayfleet.testing.suites.data_plane.plane import BODY_SECONDS, DRAIN_SECONDS, HEAD_SECONDS, IDLE_SECONDS
from rayfleet.testing.waiting import wait_until

_START_SECONDS = 120.0  # beside a type checker and other tests, all on two cores
_LIMITS = (
    "--head-timeout",
    f"{HEAD_SECONDS}",
    "--body-start-timeout",
    f"{BODY_SECONDS}",
    "--idle-timeout",
    f"{IDLE_SECONDS}",
    "--drain",
    f"{DRAIN_SECONDS}",
    "--lag",
    "0",
)


class GatewayProcess:
    """Serves the objects from files in ``folder``; ``with`` runs it. ``arguments`` in place of files: another source.

    Its ports are held here too while it runs: others could listen on them beside the gateway, unseen.
    """

    def __init__(self, folder: Path, objects: Sequence[ReadOnlyJson] = (), arguments: Sequence[str] = ()) -> None:
        self._folder = folder
        self._objects = objects
        self._arguments = arguments
        self._held = ExitStack()
        self.port, self.metrics_port = self._held.enter_context(held_ports(2))

    def __enter__(self) -> Self:
        if not self._arguments:
            self.apply(self._objects)
        command = [sys.executable, "-m", "rayfleet_gateway", "--port", str(self.port), *_LIMITS]
        command += ["--admin-port", str(self.metrics_port), "--access-log", str(self._folder / "access.log")]
        command += self._arguments or ["--config", str(self._config)]
        with (self._folder / "stderr.log").open("w") as log:
            self._process = subprocess.Popen(command, stderr=log, start_new_session=True)
        try:
            wait_until(self._is_ready, "the gateway is ready", _START_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._held.close()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    @property
    def log(self) -> str:
        """What it logged."""
        return (self._folder / "stderr.log").read_text(encoding="utf-8")

    def apply(self, objects: Sequence[ReadOnlyJson]) -> None:
        """Write these objects in place of those that are there."""
        self._config.mkdir(exist_ok=True)
        file = self._folder / "objects.new"
        file.write_text("\n---\n".join(map(json.dumps, objects)), encoding="utf-8")
        file.rename(self._config / "objects.yaml")

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def ended(self, limit_seconds: float) -> int:
        """Return the exit code; raises TimeoutExpired."""
        return self._process.wait(limit_seconds)

    @property
    def _config(self) -> Path:
        return self._folder / "config"

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, self.log
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
