"""Real vLLM over two nodes, by real Ray and without it, from the manifest of an example to an answer by the gateway."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from rayfleet.plugin.settings import read_plugin_settings
from rayfleet.testing.vllm_cpu import environment_folder

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

EXAMPLES = Path(__file__).parents[2] / "examples"
CLUSTER = "engines-test"
UP_SECONDS = 600
END_SECONDS = 120  # all processes are asked to end, and the last are killed


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """Yield an environment whose state folder is its own; what a failed run left there is ended."""
    if not environment_folder(read_plugin_settings().cache).is_dir():
        pytest.skip("vLLM's environment is not in the cache: run `make engines`")
    with tempfile.TemporaryDirectory(prefix="rf-engines-", ignore_cleanup_errors=True) as state:
        made = {**os.environ, "XDG_STATE_HOME": state, "NO_COLOR": "1"}
        yield made
        down = [sys.executable, "-m", "rayfleet.cli.main", "down", "--name", CLUSTER]
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(down, env=made, timeout=END_SECONDS, check=False, capture_output=True)


@pytest.mark.parametrize("example", ["02-vllm-two-nodes", "03-vllm-without-ray"])
def test_one_model_over_two_nodes_answers_and_everything_ends(environment: dict[str, str], example: str) -> None:
    manifest = EXAMPLES / example / "fleet.yaml"
    command = [sys.executable, "-m", "rayfleet.cli.main", "up", "-f", str(manifest), "--once"]
    flags = ["--gateway-port", "0", "--name", CLUSTER, "--timeout", str(UP_SECONDS)]
    process = subprocess.Popen(
        [*command, *flags], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        output, told = process.communicate(timeout=UP_SECONDS + END_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        output, told = process.communicate(timeout=END_SECONDS)
    assert process.returncode == 0, f"{output}\n{told}\n{logs(Path(environment['XDG_STATE_HOME']))}"
    assert "Paris" in output


def logs(state: Path) -> str:
    """Return the ends of all logs, for the message of a failure."""
    parts = []
    for path in sorted(state.rglob("*.log")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-40:]
        parts.append("\n".join((f"== {path.relative_to(state)}", *lines)))
    return "\n".join(parts)
