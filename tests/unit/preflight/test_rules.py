"""Each rule of the pre-flight check: the smallest input that it is about, and the nearest that it leaves alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from rayfleet.manifest.documents import Document
from rayfleet.model.json import Json
from rayfleet.plugin.registry import load
from rayfleet.plugin.split_check import Shape
from rayfleet.preflight.findings import Severity
from rayfleet.preflight.linting import RULES, lint
from rayfleet.testing.good_fleet import good_fleet

PLUGINS = load()
SPEC = "spec.template.spec"
HEAD, WORKER = f"{SPEC}.headGroupSpec.template.spec", f"{SPEC}.workerGroupSpecs.0.template.spec"
HEAD_RAY, WORKER_RAY = f"{HEAD}.containers.0", f"{WORKER}.containers.0"
ANNOTATIONS = "spec.template.metadata.annotations"
OVERWRITTEN = {ANNOTATIONS: {"ray.io/overwrite-container-cmd": "true"}}
GPU = {"limits": {"nvidia.com/gpu": 1}}
TWO_GPUS = {f"{HEAD_RAY}.resources": GPU, f"{WORKER_RAY}.resources": GPU}
AUTOSCALED = {f"{SPEC}.enableInTreeAutoscaling": True}
SMOL, FOLDER = "HuggingFaceTB/SmolLM2-135M-Instruct", "/models/mine"
SHAPES = {FOLDER: Shape(heads=3), f"{FOLDER}-padded": Shape(heads=4)}
HEAD_ONLY: Json = {f"{SPEC}.workerGroupSpecs": []}


def serve(flags: str, model: str = "org/model") -> Json:
    """Return the head's command: Ray in the background, vLLM with these flags."""
    script = f'eval "$KUBERAY_GEN_RAY_START_CMD" &\nexec vllm serve {model} \\\n  {flags}'
    return {f"{HEAD_RAY}.command": ["/bin/bash", "-c"], f"{HEAD_RAY}.args": [script]}


def probed(container: str) -> Json:
    """Return both probes of a container."""
    return {f"{container}.{name}": {"tcpSocket": {"port": 6379}} for name in ("readinessProbe", "livenessProbe")}


@dataclass(frozen=True, kw_only=True)
class Case:
    """``bad`` makes the good fleet one that ``rule`` tells of at ``path``, with ``words``; ``good`` does not."""

    rule: str
    bad: Mapping[str, Any]
    good: Mapping[str, Any]
    path: str
    words: str
    is_error: bool = False


def place(path: str) -> str:
    """Return a dotted path as messages write it: ``a[0].b``."""
    parts = [f"[{name}]" if name.isdecimal() else f".{name}" for name in path.split(".")]
    return "".join(parts).removeprefix(".")


CASES = (
    Case(
        rule="field",
        bad={"spec.replica": 2},
        good={"spec.replicas": 2},
        path="spec.replica",
        words='did you mean "replicas"?',
        is_error=True,
    ),
    Case(
        rule="name",
        bad={"metadata.name": "q" * 41},
        good={"metadata.name": "q" * 40},
        path="metadata.name",
        words="at most 40 are allowed",
        is_error=True,
    ),
    Case(
        rule="selector",
        bad={"spec.selector.matchLabels.app": "other"},
        good={"spec.selector.matchLabels.app": "qwen"},
        path="spec.selector",
        words='app is "qwen", not "other"',
        is_error=True,
    ),
    Case(
        rule="kuberay-refuses",
        bad={f"{SPEC}.workerGroupSpecs.0.minReplicas": 2},
        good={f"{SPEC}.workerGroupSpecs.0.minReplicas": 0},
        path=f"{SPEC}.workerGroupSpecs[0].minReplicas",
        words="is more than maxReplicas 1",
        is_error=True,
    ),
    Case(
        rule="serving",
        bad={"spec": {"serving": {"engine": "vlm", "model": "org/m"}}},
        good={"spec": {"serving": {"engine": "vllm", "model": "org/m"}}},
        path="spec.serving.engine",
        words='did you mean "vllm"?',
        is_error=True,
    ),
    Case(
        rule="resources",
        bad={f"{WORKER_RAY}.resources": {"limits": {"nvidia.com/gpu": "500m"}}},
        good={f"{WORKER_RAY}.resources": {"limits": {"nvidia.com/gpu": "1", "cpu": "500m"}}},
        path=f'{place(WORKER_RAY)}.resources.limits["nvidia.com/gpu"]',
        words='"500m" is no whole number',
        is_error=True,
    ),
    Case(
        rule="parallelism",
        bad={**TWO_GPUS, **serve("--pipeline-parallel-size 3")},
        good={**TWO_GPUS, **serve("--pipeline-parallel-size 2")},
        path=place(HEAD_RAY),
        words="tensor 1 x pipeline 3 x data 1 needs 3 accelerators, but head and workers have 2",
        is_error=True,
    ),
    Case(
        rule="parallelism",
        bad={**TWO_GPUS, **serve("--data-parallel-size=3 -pp 2")},
        good={**TWO_GPUS, **serve("--data_parallel_size=2")},
        path=place(HEAD_RAY),
        words="needs 6 accelerators",
        is_error=True,
    ),
    Case(
        rule="parallelism",
        bad={**TWO_GPUS, **serve("--dtype half")},
        good=serve("--tensor-parallel-size 8"),  # without accelerators nothing can be said
        path=place(HEAD_RAY),
        words="uses 1 accelerators of 2",
    ),
    Case(
        rule="model-split",
        bad=serve("-tp 2", SMOL),
        good=serve("-tp 3", SMOL),
        path=place(HEAD_RAY),
        words=f"{SMOL} cannot be split so: tensor 2 does not divide its 9 attention heads (these do: 1, 3, 9)",
        is_error=True,
    ),
    Case(
        rule="model-split",
        bad=serve("-tp 2", FOLDER),
        good=serve("-tp 2", f"{FOLDER}-padded"),
        path=place(HEAD_RAY),
        words=f"{FOLDER} cannot be split so: tensor 2 does not divide its 3 attention heads",
        is_error=True,
    ),
    Case(
        rule="tensor-over-nodes",
        bad={**TWO_GPUS, **serve("-tp 2")},
        good={**TWO_GPUS, **serve("-pp 2")},
        path=place(HEAD_RAY),
        words="more replicas",
    ),
    Case(
        rule="unknown-field",
        bad={f"{SPEC}.workerGroupSpec": []},
        good={f"{SPEC}.suspend": False},
        path=f"{SPEC}.workerGroupSpec",
        words='did you mean "workerGroupSpecs"?',
    ),
    Case(
        rule="unknown-field",
        bad={f"{WORKER_RAY}.livenesProbe": {}},
        good={f"{WORKER_RAY}.livenessProbe": {}},
        path=f"{place(WORKER_RAY)}.livenesProbe",
        words='did you mean "livenessProbe"?',
    ),
    Case(
        rule="unknown-field",
        bad={f"{SPEC}.headGroupSpec.template.metadata.lables": {}},
        good={f"{SPEC}.headGroupSpec.template.metadata.labels": {"any.name/at-all": "x"}},
        path=f"{SPEC}.headGroupSpec.template.metadata.lables",
        words='did you mean "labels"?',
    ),
    Case(
        rule="port-collision",
        bad={f"{HEAD}.containers.1.ports": [{"containerPort": 8080}]},
        good={
            f"{HEAD}.containers.1.ports": [{"containerPort": 8080}],
            f"{SPEC}.headGroupSpec.rayStartParams": {"metrics-export-port": "8090"},
        },
        path=f"{place(HEAD)}.containers[1].ports[0].containerPort",
        words="by Ray's metrics (by default) and by the container sidecar",
    ),
    Case(
        rule="port-collision",
        bad={f"{HEAD}.containers.1.args": ["rayfleet-sidecar", "--port=8265"]},
        good={f"{HEAD}.containers.1.args": ["rayfleet-sidecar", "--port=8266"]},
        path=f"{place(HEAD)}.containers[1]",
        words="port 8265 is used twice in one pod, by Ray's dashboard",
    ),
    Case(
        rule="port-collision",
        bad=serve("--port 10001"),
        good=serve("--port 8000"),
        path=place(HEAD_RAY),
        words="by Ray's client server (by default) and by the engine vllm",
    ),
    Case(
        rule="port-collision",
        bad={f"{HEAD}.containers.1.ports": [{"containerPort": 8000}], **serve("--dtype half")},
        good={f"{HEAD}.containers.1.ports": [{"containerPort": 8000, "protocol": "UDP"}], **serve("--dtype half")},
        path=f"{place(HEAD)}.containers[1].ports[0].containerPort",
        words="by the engine vllm and by the container sidecar",
    ),
    Case(
        rule="port-collision",
        bad={f"{WORKER}.containers.1": {"name": "b", "image": "b:1", "ports": [{"containerPort": 52365}]}},
        good={f"{WORKER}.containers.1": {"name": "b", "image": "b:1", "ports": [{"containerPort": 6379}]}},
        path=f"{place(WORKER)}.containers[1].ports[0].containerPort",
        words="Ray's dashboard agent",
    ),
    Case(
        rule="worker-range",
        bad={f"{SPEC}.workerGroupSpecs.0.maxReplicas": 5},
        good={f"{SPEC}.workerGroupSpecs.0.maxReplicas": 1},
        path=f"{SPEC}.workerGroupSpecs[0].maxReplicas",
        words="5 does nothing without enableInTreeAutoscaling",
    ),
    Case(
        rule="worker-range",
        bad={**AUTOSCALED, **serve("-pp 2"), f"{SPEC}.workerGroupSpecs.0.maxReplicas": 5},
        good={**AUTOSCALED, f"{SPEC}.workerGroupSpecs.0.maxReplicas": 5},  # an engine that nobody knows may follow
        path=f"{SPEC}.workerGroupSpecs[0].maxReplicas",
        words="a fixed size of 2 ranks",
    ),
    Case(
        rule="surge-of-one",
        bad={**TWO_GPUS, "spec.strategy.rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        good=TWO_GPUS,
        path="spec.strategy.rollingUpdate",
        words="a rollout needs 2 more accelerators",
    ),
    Case(
        rule="surge-of-one",
        bad={**TWO_GPUS, "spec.strategy.rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        good={"spec.strategy.rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        path="spec.strategy.rollingUpdate",
        words="write maxSurge 0 and maxUnavailable 1",
    ),
    Case(
        rule="pinned-pod",
        bad={f"{HEAD_RAY}.ports": [{"containerPort": 8000, "hostPort": 8000}]},
        good={
            f"{HEAD_RAY}.ports": [{"containerPort": 8000, "hostPort": 8000}],
            "spec.strategy.rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1},
        },
        path=f"{place(HEAD_RAY)}.ports[0].hostPort",
        words="up to 2 replicas at once",
    ),
    Case(
        rule="pinned-pod",
        bad={f"{WORKER}.hostname": "gpu-worker", "spec.replicas": 2},
        good={"spec.replicas": 2},
        path=f"{place(WORKER)}.hostname",
        words="hostname ties the pod to one place",
    ),
    Case(
        rule="pinned-pod",
        bad={f"{WORKER}.nodeSelector": {"kubernetes.io/hostname": "n1"}},
        good={f"{WORKER}.nodeSelector": {"pool": "n1"}},
        path=f'{place(WORKER)}.nodeSelector["kubernetes.io/hostname"]',
        words="the node's name",
    ),
    Case(
        rule="latest-image",
        bad={f"{HEAD}.initContainers": [{"name": "i", "image": "registry.example:5000/tool"}]},
        good={f"{HEAD}.initContainers": [{"name": "i", "image": "registry.example:5000/tool@sha256:00"}]},
        path=f"{place(HEAD)}.initContainers[0].image",
        words="may mean another image at each pull",
    ),
    Case(
        rule="latest-image",
        bad={f"{HEAD}.containers.1.image": "rayfleet/sidecar:latest"},
        good={f"{HEAD}.containers.1.image": "rayfleet/sidecar:0.1.0"},
        path=f"{place(HEAD)}.containers[1].image",
        words="name a version",
    ),
    Case(
        rule="image-without-ray",
        bad={**HEAD_ONLY, f"{HEAD_RAY}.image": "vllm/vllm-openai:v0.32.0"},
        good={**HEAD_ONLY, f"{HEAD_RAY}.image": "registry.example/vllm-openai:v0.32.0"},
        path=f"{place(HEAD_RAY)}.image",
        words="ships no Ray (since v0.18)",
    ),
    Case(
        rule="known-holes",
        bad={**HEAD_ONLY, f"{HEAD_RAY}.image": "vllm/vllm-openai:v0.17.1"},
        good={**HEAD_ONLY, f"{HEAD_RAY}.image": "vllm/vllm-openai@sha256:0123"},
        path=f"{place(HEAD_RAY)}.image",
        words="CVE-2026-27893",
    ),
    Case(
        rule="image-without-ray",
        bad={**HEAD_ONLY, f"{HEAD_RAY}.image": "docker.io/vllm/vllm-openai:v0.33.0"},
        good={**HEAD_ONLY, f"{HEAD_RAY}.image": "registry.example/vllm/vllm-openai:v0.33.0"},
        path=f"{place(HEAD_RAY)}.image",
        words="build one FROM it",
    ),
    Case(
        rule="mixed-images",
        bad={f"{WORKER_RAY}.image": "registry.example/llm:2"},
        good={f"{WORKER_RAY}.image": "registry.example/llm:1"},
        path=f"{place(WORKER_RAY)}.image",
        words="is not the head's image",
    ),
    Case(
        rule="installs-at-start",
        bad={f"{WORKER_RAY}.command": ["sh", "-c", "apt-get update && python3 -m pip install -U ray"]},
        good={f"{WORKER_RAY}.command": ["sh", "-c", "apt-get update # pip install ray\npip list"]},
        path=place(WORKER_RAY),
        words="python3 -m pip install -U ray",
    ),
    Case(
        rule="ray-version",
        bad={f"{HEAD_RAY}.image": "rayproject/ray:2.53.0-gpu", f"{WORKER_RAY}.image": "rayproject/ray:2.53.0-gpu"},
        good={f"{HEAD_RAY}.image": "rayproject/ray:2.60.0-gpu", f"{WORKER_RAY}.image": "rayproject/ray:2.60.0-gpu"},
        path=f"{SPEC}.rayVersion",
        words='is not the Ray of "rayproject/ray:2.53.0-gpu"',
    ),
    Case(
        rule="ray-probes",
        bad={f"{SPEC}.rayVersion": "2.10.0", **probed(WORKER_RAY)},
        good={f"{SPEC}.rayVersion": "2.53.0"},
        path=place(HEAD_RAY),
        words='with rayVersion "2.10.0" KubeRay gives it a readinessProbe that runs wget',
    ),
    Case(
        rule="ray-probes",
        bad={f"{SPEC}.rayVersion": None, **probed(HEAD_RAY)},
        good={f"{SPEC}.rayVersion": None, **probed(HEAD_RAY), **probed(WORKER_RAY)},
        path=place(WORKER_RAY),
        words="with no rayVersion",
    ),
    Case(
        rule="no-ray-start",
        bad={**OVERWRITTEN, **serve("")},
        good={**OVERWRITTEN, **serve(""), f"{WORKER_RAY}.args": ["$KUBERAY_GEN_RAY_START_CMD"]},
        path=place(WORKER_RAY),
        words="has no command",
    ),
    Case(
        rule="no-ray-start",
        bad={**OVERWRITTEN, **serve(""), f"{WORKER_RAY}.command": ["sleep", "inf"]},
        good={**OVERWRITTEN, **serve(""), f"{WORKER_RAY}.command": ["/start-worker"]},
        path=place(WORKER_RAY),
        words="has a command that never starts Ray",
    ),
    Case(
        rule="no-sidecar",
        bad={f"{HEAD}.containers.1": {"name": "exporter", "image": "exporter:1"}},
        good={},
        path=f"{place(HEAD)}.containers",
        words="nobody asks the engine",
    ),
    Case(
        rule="blind-sidecar",
        bad={f"{HEAD}.containers.1": {"name": "r", "image": "aibrix/runtime:v0.3.0"}},
        good={f"{HEAD}.containers.2": {"name": "r", "image": "aibrix/runtime:v0.3.0"}},
        path=f"{place(HEAD)}.containers[1]",
        words="without asking the engine",
    ),
    Case(
        rule="prestop-ends-ray",
        bad={f"{WORKER_RAY}.lifecycle.preStop.exec.command": ["/bin/sh", "-c", "ray stop"]},
        good={f"{WORKER_RAY}.lifecycle.preStop.exec.command": ["/bin/sh", "-c", "sleep 60"]},
        path=f"{place(WORKER_RAY)}.lifecycle.preStop",
        words="while the head still finishes requests",
    ),
)


def findings(*documents: Json) -> list[Any]:
    listed = [Document(raw=raw, source="f", line=1) for raw in documents]
    return [each.finding for each in lint(listed, PLUGINS, SHAPES)]


@pytest.mark.parametrize("case", CASES, ids=[f"{case.rule}-{place(case.path)[-24:]}" for case in CASES])
def test_a_rule_tells_of_its_fault_alone_and_not_of_the_nearest_good_input(case: Case) -> None:
    (told,) = findings(good_fleet(case.bad))
    severity = Severity.ERROR if case.is_error else Severity.WARNING
    assert (told.rule, told.severity, told.path) == (case.rule, severity, case.path)
    assert case.words in told.message
    assert findings(good_fleet(case.good)) == []


def test_every_rule_has_a_case() -> None:
    """Those of Services and routes are in test_linting.py."""
    assert {case.rule for case in CASES} | {"service-hits-workers", "missing-grant"} == RULES.keys()
