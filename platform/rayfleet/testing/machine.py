"""A cluster of this machine as a user has it.

Started, asked and ended by the commands of the README, in a state folder of its own.

Blocking; for end-to-end tests of rayfleet, of plugins and of examples.
"""

import json
import os
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayfleet.local.node.processes import STATE_MARK, marked_processes
from rayfleet.local.node.settings import node_folders
from rayfleet.local.supervisor.record import Record, read_record
from rayfleet.testing.realkube import default_cache, ensure_kubectl

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A state folder, and the command line that uses it."""

    state_home: Path
    name: str

    @property
    def root(self) -> Path:
        """Return the cluster's folder."""
        return self.state_home / "rayfleet" / self.name

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of its commands."""
        return {**os.environ, "XDG_STATE_HOME": str(self.state_home), "KUBECONFIG": "", "NO_COLOR": "1"}

    def rayfleet(self, *words: str, limit: float = 120) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end; the name of the cluster is added."""
        command = [sys.executable, "-m", "rayfleet.cli.main", *words, "--name", self.name]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=limit, check=False)

    def kubectl(self, *words: str, stdin: str | None = None, limit: float = 60) -> str:
        """Return what the real kubectl prints. Raises AssertionError with its errors when it fails."""
        done = subprocess.run(
            [str(ensure_kubectl(default_cache())), *words],
            env={**os.environ, "KUBECONFIG": str(self.root / "kubeconfig")},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}\n{done.stdout}"
        return done.stdout

    def is_reachable(self) -> bool:
        """Whether the API server answers now."""
        try:
            return self.kubectl("get", "--raw", "/readyz", limit=5).strip() == "ok"
        except (AssertionError, subprocess.TimeoutExpired):
            return False

    def get(self, *words: str) -> Any:
        """Return what ``kubectl get ... -o json`` shows."""
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    @property
    def record(self) -> Record:
        """Return what the supervisor wrote down. Raises AssertionError when there is none."""
        record = read_record(self.root / "supervisor.json")
        assert record is not None
        return record

    @property
    def url(self) -> str:
        """Return the gateway's URL."""
        return self.record.gateway_url

    def ask(self, limit: float = 30) -> str:
        """Return the answer to a question, from the gateway."""
        body = {"model": "smollm2", "messages": QUESTION, "temperature": 0, "max_tokens": 16}
        request = urllib.request.Request(  # noqa: S310 - our own gateway on loopback
            f"{self.url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=limit) as response:  # noqa: S310 - as above
            return str(json.load(response)["choices"][0]["message"]["content"])

    def leftovers(self) -> dict[str, Any]:
        """Return what is left of the cluster on this machine: processes, slots, temporary folders of Ray."""
        folders = node_folders(self.root)
        slots = [path for path in folders.slots.glob("[0-9]*") if str(folders.state) in path.read_text()]
        return {
            "processes": marked_processes(str(folders.state), STATE_MARK),
            "slots": [path.name for path in slots],
            "notes": [str(path) for path in folders.pods.glob("*/ray-temp")],
        }
