"""Faults that the rules are about in other spellings, and what looks like one and is none."""

from collections.abc import Mapping
from typing import Any

import pytest

from rayfleet.manifest.documents import Document
from rayfleet.model.json import Json
from rayfleet.plugin.registry import load
from rayfleet.preflight.findings import Severity
from rayfleet.preflight.linting import lint
from rayfleet.testing.good_fleet import good_fleet

PLUGINS = load()
SPEC = "spec.template.spec"
HEAD, WORKER = f"{SPEC}.headGroupSpec.template.spec", f"{SPEC}.workerGroupSpecs.0.template.spec"
HEAD_RAY, WORKER_RAY = f"{HEAD}.containers.0", f"{WORKER}.containers.0"
GPU = {"limits": {"nvidia.com/gpu": 1}}
TWO_GPUS = {f"{HEAD_RAY}.resources": GPU, f"{WORKER_RAY}.resources": GPU}
EXPORTER = {"name": "exporter", "image": "exporter:1", "ports": [{"containerPort": 8080}]}


def serve(stages: str, **variables: str) -> Json:
    """Return a head with an accelerator that starts vLLM in a script, with variables of the container."""
    script = f'eval "$KUBERAY_GEN_RAY_START_CMD" &\nexec vllm serve org/model -pp {stages}'
    environment = [{"name": name, "value": value} for name, value in variables.items()]
    return {**TWO_GPUS, f"{HEAD_RAY}.command": ["/bin/bash", "-c", script], f"{HEAD_RAY}.env": environment}


def serve_without_shell(stages: str) -> Json:
    """Return a head as ``serve`` with a variable that Kubernetes fills in."""
    words = ["vllm", "serve", "org/model", "--pipeline-parallel-size", "$(STAGES)"]
    return {**TWO_GPUS, f"{HEAD_RAY}.command": words, f"{HEAD_RAY}.env": [{"name": "STAGES", "value": stages}]}


def near(key: str, *nodes: str, field: str = "matchExpressions") -> Json:
    """Return a head that must run on one of these nodes."""
    term = {field: [{"key": key, "operator": "In", "values": list(nodes)}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return {f"{HEAD}.affinity": {"nodeAffinity": required}}


def stopping(script: str) -> Json:
    return {f"{WORKER_RAY}.lifecycle.preStop.exec.command": ["/bin/sh", "-c", script]}


BAD: Mapping[str, tuple[Json, str]] = {
    "a variable of the script": (serve("$STAGES", STAGES="3"), "parallelism"),
    "a variable in braces": (serve("${STAGES}", STAGES="3"), "parallelism"),
    "a variable that Kubernetes fills in": (serve_without_shell("3"), "parallelism"),
    "a sidecar that starts first": (
        {f"{HEAD}.initContainers": [{**EXPORTER, "restartPolicy": "Always"}]},
        "port-collision",
    ),
    "an affinity for a node": (near("kubernetes.io/hostname", "n1"), "pinned-pod"),
    "an affinity for a node by its name": (near("metadata.name", "n1", field="matchFields"), "pinned-pod"),
    "a tag that moves each night": ({f"{HEAD}.containers.1.image": "rayfleet/sidecar:nightly"}, "latest-image"),
    "an image of another registry": ({f"{WORKER_RAY}.image": "quay.io/registry.example/llm:1"}, "mixed-images"),
    "an end of Ray after a pause": (stopping("sleep 5; ray stop"), "prestop-ends-ray"),
}
GOOD: Mapping[str, Json] = {
    "a variable that fits": serve("$STAGES", STAGES="2"),
    "a variable that nobody can read": serve("${STAGES:-2}"),
    "a variable from elsewhere": serve("$STAGES"),
    "a variable that Kubernetes fills in and that fits": serve_without_shell("2"),
    "a container that has ended before Ray starts": {f"{HEAD}.initContainers": [EXPORTER]},
    "an affinity for two nodes": near("kubernetes.io/hostname", "n1", "n2"),
    "an affinity for a pool": near("pool", "n1"),
    "the same image with its registry": {
        f"{HEAD_RAY}.image": "org/llm:1",
        f"{WORKER_RAY}.image": "docker.io/org/llm:1",
    },
    "an end of Ray after the head's": stopping("while nc -z $RAY_IP 8000; do sleep 1; done; ray stop"),
}


def findings(changes: Mapping[str, Any]) -> list[Any]:
    return [each.finding for each in lint([Document(raw=good_fleet(changes), source="f", line=1)], PLUGINS)]


@pytest.mark.parametrize(("changes", "rule"), BAD.values(), ids=BAD)
def test_a_fault_is_told_in_any_spelling(changes: Json, rule: str) -> None:
    assert [each.rule for each in findings(changes)] == [rule]


@pytest.mark.parametrize("changes", GOOD.values(), ids=GOOD)
def test_what_only_looks_like_a_fault_is_left_alone(changes: Json) -> None:
    assert findings(changes) == []


@pytest.mark.parametrize("bad", [{"metadata.name": "q" * 41}, {"spec": {"serving": {"engine": "vllm"}}}])
def test_of_a_fleet_that_cannot_be_read_nothing_is_said_that_reading_it_would_show(bad: Mapping[str, Any]) -> None:
    """Its head would get a sidecar, or its plugin would render one."""
    told = findings({f"{HEAD}.containers.1": {"name": "exporter", "image": "exporter:1"}, **bad})
    assert {each.severity for each in told} == {Severity.ERROR}
