"""Documents looked at together: Services, routes and grants beside fleets, all faults at once, files of a user."""

from pathlib import Path
from typing import Any

import pytest

from rayfleet.manifest.documents import Document, load_documents
from rayfleet.model.json import Json
from rayfleet.plugin.registry import load
from rayfleet.preflight.findings import Severity
from rayfleet.preflight.linting import RULES, lint
from rayfleet.testing.good_fleet import good_fleet

ROOT = Path(__file__).parents[3]
SEED = ROOT.parent / "shared" / "data" / "manifests" / "seed-fleet.yaml"
EXAMPLE = Path(__file__).parent / "two-nodes.yaml"
PLUGINS = load()
SPEC = "spec.template.spec"
HEAD = f"{SPEC}.headGroupSpec.template.spec"
HEAD_RAY = f"{HEAD}.containers.0"
HEAD_ONLY: Json = {f"{SPEC}.workerGroupSpecs": []}
TRAPS = {  # of the example that AIBrix publishes, and where each is told of
    "blind-sidecar": "- name: aibrix-runtime",
    "installs-at-start": "- name: ray-head",
    "known-holes": "image: vllm/vllm-openai:v0.7.1",
    "missing-grant": "- name: two-nodes",
    "port-collision": "- containerPort: 8080",
    "prestop-ends-ray": "preStop:",
    "ray-probes": "- name: ray-worker",
    "service-hits-workers": "selector:",
    "surge-of-one": "rollingUpdate:",
    "tensor-over-nodes": "- name: ray-head",
    "worker-range": "maxReplicas: 5",
}


def findings(*documents: Json) -> list[Any]:
    listed = [Document(raw=raw, source="f", line=1) for raw in documents]
    return [each.finding for each in lint(listed, PLUGINS)]


def lines_by_rule(path: Path) -> dict[str, str]:
    """Return the text of the line that each rule points to."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    located = lint(load_documents(text, path.name), PLUGINS)
    return {each.finding.rule: lines[each.document.line_of(each.finding.path) - 1].strip() for each in located}


def test_nothing_is_said_of_a_good_fleet() -> None:
    assert findings(good_fleet({})) == []


def test_a_two_node_manifest_is_told_of_its_traps_at_their_lines() -> None:
    assert lines_by_rule(EXAMPLE) == TRAPS


def test_the_published_manifest_itself_has_the_same_traps() -> None:
    if not SEED.exists():
        pytest.skip("the manifests of today are not here (seed-fleet.yaml)")
    assert lines_by_rule(SEED).keys() == TRAPS.keys()


@pytest.mark.parametrize(
    "name", ["01-quickstart", "02-vllm-two-nodes", "03-vllm-without-ray", "04-llamacpp-over-two-nodes"]
)
def test_our_own_examples_are_clean(name: str) -> None:
    path = ROOT / "examples" / name / "fleet.yaml"
    assert lines_by_rule(path) == {}


def test_the_document_of_the_rules_names_each_once() -> None:
    text = (ROOT / "docs" / "preflight.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip(" `") for line in text.splitlines() if line.startswith("| `")]
    assert rows == list(RULES)


def service(**selector: str) -> Json:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"selector": selector}}


def labelled(**fields: Any) -> Json:
    labels = {"model": "qwen"}
    return good_fleet(
        {f"{SPEC}.headGroupSpec.template.metadata.labels": labels}
        | {f"{SPEC}.workerGroupSpecs.0.template.metadata.labels": labels}
        | fields
    )


def test_a_service_that_hits_workers_is_told_of() -> None:
    (told,) = findings(labelled(), service(model="qwen"))
    assert (told.rule, told.path) == ("service-hits-workers", "spec.selector")
    assert 'selects the workers of qwen ("a") beside its head' in told.message


def test_a_service_of_heads_of_workers_or_of_others_is_left_alone() -> None:
    elsewhere = service(model="qwen")
    elsewhere["metadata"]["namespace"] = "other"
    heads, workers = {"ray.io/node-type": "head"}, {"ray.io/node-type": "worker"}
    for each in (service(model="qwen", **heads), service(model="qwen", **workers), service(a="b"), elsewhere):
        assert findings(labelled(), each) == []


def test_a_service_that_selects_by_kuberays_own_labels_hits_workers_too() -> None:
    (told,) = findings(labelled(), service(**{"ray.io/is-ray-node": "yes"}))
    assert told.rule == "service-hits-workers"


def route(namespace: str) -> Json:
    backend = {"name": "s", "namespace": namespace, "port": 8000}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "r", "namespace": "edge"},
        "spec": {"rules": [{"backendRefs": [backend]}]},
    }


def grant(namespace: str = "models", source: str = "edge", **to: str) -> Json:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1beta1",
        "kind": "ReferenceGrant",
        "metadata": {"name": "g", "namespace": namespace},
        "spec": {
            "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": source}],
            "to": [{"group": "", "kind": "Service", **to}],
        },
    }


@pytest.mark.parametrize("beside", [(), (grant("other"),), (grant(source="other"),), (grant(name="t"),)])
def test_a_backend_elsewhere_without_its_grant_is_told_of(beside: tuple[Json, ...]) -> None:
    (told,) = findings(route("models"), *beside)
    assert (told.rule, told.path) == ("missing-grant", "spec.rules[0].backendRefs[0]")


def test_a_backend_with_its_grant_or_beside_the_route_is_left_alone() -> None:
    assert findings(route("models"), grant()) == []
    assert findings(route("models"), grant(name="s")) == []
    assert findings(route("edge")) == []


def test_all_faults_come_at_once_errors_first() -> None:
    bad = {f"{SPEC}.workerGroupSpec": [], "spec.replica": 1, f"{HEAD}.containers.1.image": "x"}
    assert [each.severity for each in findings(good_fleet(bad))][:1] == [Severity.ERROR]
    assert {each.rule for each in findings(good_fleet(bad))} == {"field", "unknown-field", "latest-image"}


def test_a_replica_set_is_held_to_the_rules_of_templates() -> None:
    raw = good_fleet({f"{SPEC}.workerGroupSpec": []}) | {"kind": "RayClusterReplicaSet"}
    assert [each.rule for each in findings(raw)] == ["unknown-field"]


def test_an_image_without_ray_that_installs_it_is_told_of_the_install_alone() -> None:
    script = {f"{HEAD_RAY}.command": ["bash", "-c", "pip install ray==2.60.0"]}
    bad = {**HEAD_ONLY, f"{HEAD_RAY}.image": "vllm/vllm-openai:v0.32.0"}
    assert [each.rule for each in findings(good_fleet({**bad, **script}))] == ["installs-at-start"]


def test_an_engine_that_knows_its_ranks_needs_no_ray() -> None:
    overwritten = {"spec.template.metadata.annotations": {"ray.io/overwrite-container-cmd": "true"}}
    ranked = {**HEAD_ONLY, **overwritten, f"{HEAD_RAY}.image": "vllm/vllm-openai:v0.32.0"}
    script = {f"{HEAD_RAY}.command": ["bash", "-c", "vllm serve org/m --nnodes 2 --node-rank 0"]}
    assert findings(good_fleet({**ranked, **script})) == []
    script = {f"{HEAD_RAY}.command": ["bash", "-c", "vllm serve org/m"]}
    assert [each.rule for each in findings(good_fleet({**ranked, **script}))] == ["no-ray-start"]


def test_a_rendered_template_is_told_of_where_it_came_from() -> None:
    serving = {"engine": "vllm", "model": "org/m", "image": "vllm/vllm-openai:v0.30.0"}
    (told,) = findings(good_fleet({"spec": {"serving": serving}}))
    assert (told.rule, told.path) == ("known-holes", "spec.serving")
