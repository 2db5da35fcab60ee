"""What users change with kubectl: on our server as on the real one."""

import json
import subprocess

import pytest

from rayfleet.model.json import Json
from rayfleet.testing.kubectl import LIMIT_SECONDS, Kubectl, config_map, fleet, pod, service

_WAIT = f"--timeout={LIMIT_SECONDS}s"


def test_apply_creates_changes_and_leaves_alone(kubectl: Kubectl) -> None:
    assert kubectl.apply(fleet()).split()[-1] == "created"
    assert kubectl.apply(fleet()).split()[-1] == "unchanged"
    assert kubectl.apply(fleet(replicas=2)).split()[-1] == "configured"
    assert kubectl.object("get", "rcf", "chat")["spec"]["replicas"] == 2


def test_apply_removes_what_left_the_manifest_and_keeps_what_others_set(kubectl: Kubectl) -> None:
    kubectl.apply(config_map(a="1", b="2"))
    kubectl("patch", "configmap", "settings", "-p", '{"data":{"c":"3"}}')
    kubectl.apply(config_map(a="1"))
    assert kubectl.object("get", "configmap", "settings")["data"] == {"a": "1", "c": "3"}


def test_apply_of_a_service_merges_its_ports_by_number(kubectl: Kubectl) -> None:
    kubectl.apply(service())
    changed = service()
    changed["spec"]["ports"].append({"name": "metrics", "port": 9090})
    kubectl.apply(changed)
    assert [port["name"] for port in kubectl.object("get", "service", "web")["spec"]["ports"]] == ["http", "metrics"]
    kubectl.apply(service())
    assert [port["name"] for port in kubectl.object("get", "service", "web")["spec"]["ports"]] == ["http"]


def test_apply_on_the_servers_side_keeps_what_another_manager_owns(kubectl: Kubectl) -> None:
    own = ("apply", "--server-side", "-f", "-")
    assert "serverside-applied" in kubectl(*own, stdin=json.dumps(fleet()))
    other = (*own, "--field-manager", "autoscaler")
    refused = kubectl(*other, stdin=json.dumps(fleet(replicas=3)), fails=True)
    assert 'conflict with "kubectl"' in refused
    assert ".spec.replicas" in refused
    kubectl(*other, "--force-conflicts", stdin=json.dumps(fleet(replicas=3)))
    assert kubectl.object("get", "rcf", "chat")["spec"]["replicas"] == 3


def test_deletion_of_any_kind_can_be_asked_in_any_way(kubectl: Kubectl) -> None:
    """Who finishes a deletion in the foreground is a collector, which is another process."""
    kubectl.apply(fleet())
    kubectl("delete", "rcf", "chat", "--cascade=foreground", "--wait=false")
    assert kubectl.object("get", "rcf", "chat")["metadata"]["finalizers"] == ["foregroundDeletion"]


def test_apply_refuses_unknown_fields_and_warns_when_told_to(kubectl: Kubectl) -> None:
    wrong = fleet()
    wrong["spec"]["replcas"] = 2
    assert 'unknown field "spec.replcas"' in kubectl("apply", "-f", "-", stdin=json.dumps(wrong), fails=True)
    kubectl("apply", "--validate=warn", "-f", "-", stdin=json.dumps(wrong))
    assert "replcas" not in kubectl.object("get", "rcf", "chat")["spec"]


def test_apply_tells_what_the_schema_forbids(kubectl: Kubectl) -> None:
    text = kubectl("apply", "-f", "-", stdin=json.dumps(fleet(replicas=-1)), fails=True)
    assert "spec.replicas" in text
    assert "should be greater than or equal to 0" in text


def test_apply_with_a_dry_run_of_the_server_changes_nothing(kubectl: Kubectl) -> None:
    assert "(server dry run)" in kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(fleet()))
    kubectl("get", "rcf", "chat", fails=True)


def test_diff_shows_the_change_that_apply_would_make(kubectl: Kubectl) -> None:
    kubectl.apply(fleet())
    kubectl("diff", "-f", "-", stdin=json.dumps(fleet()))
    done = subprocess.run(
        [kubectl.program, "-n", kubectl.namespace, "diff", "-f", "-"],
        input=json.dumps(fleet(replicas=4)),
        env=kubectl.environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "+  replicas: 4" in done.stdout


@pytest.mark.parametrize(
    ("form", "patch"),
    [
        ("merge", '{"spec":{"replicas":5}}'),
        ("json", '[{"op":"replace","path":"/spec/replicas","value":5}]'),
    ],
)
def test_patch_changes_a_fleet(kubectl: Kubectl, form: str, patch: str) -> None:
    kubectl.apply(fleet())
    kubectl("patch", "rcf", "chat", "--type", form, "-p", patch)
    assert kubectl.object("get", "rcf", "chat")["spec"]["replicas"] == 5


def test_patch_by_strategic_merge_changes_one_container(kubectl: Kubectl) -> None:
    kubectl.apply(pod())
    kubectl("patch", "pod", "web", "-p", '{"spec":{"containers":[{"name":"main","image":"nginx:2"}]}}')
    container = kubectl.object("get", "pod", "web")["spec"]["containers"][0]
    assert (container["image"], container["env"]) == ("nginx:2", [{"name": "A", "value": "1"}])


def test_patch_of_a_status_needs_its_subresource(kubectl: Kubectl) -> None:
    kubectl.apply(fleet())
    kubectl("patch", "rcf", "chat", "--type=merge", "-p", '{"status":{"replicas":7}}')
    assert kubectl.object("get", "rcf", "chat").get("status", {}).get("replicas") != 7
    kubectl("patch", "rcf", "chat", "--subresource=status", "--type=merge", "-p", '{"status":{"replicas":7}}')
    assert kubectl.object("get", "rcf", "chat")["status"]["replicas"] == 7


def test_edit_stores_what_the_editor_wrote(kubectl: Kubectl) -> None:
    kubectl.apply(fleet())
    kubectl.environment["KUBE_EDITOR"] = "sed -i 's/replicas: 1/replicas: 6/'"
    kubectl("edit", "rcf", "chat")
    assert kubectl.object("get", "rcf", "chat")["spec"]["replicas"] == 6


def test_scale_sets_replicas_if_they_are_as_expected(kubectl: Kubectl) -> None:
    kubectl.apply(fleet())
    kubectl("scale", "rcf/chat", "--replicas=4")
    kubectl("scale", "rcf/chat", "--replicas=9", "--current-replicas=2", fails=True)
    assert kubectl.object("get", "rcf", "chat")["spec"]["replicas"] == 4
    assert kubectl.object("get", "rcf", "chat", "--subresource=scale")["spec"]["replicas"] == 4


def test_label_and_annotate_change_metadata_only(kubectl: Kubectl) -> None:
    kubectl.apply(fleet())
    kubectl("label", "rcf", "chat", "team=a")
    kubectl("annotate", "rcf", "chat", "why=test")
    kubectl("label", "rcf", "chat", "team=b", fails=True)
    kubectl("label", "rcf", "chat", "app-")
    meta = kubectl.object("get", "rcf", "chat")["metadata"]
    assert meta["labels"] == {"team": "a"}
    assert meta["annotations"]["why"] == "test"
    assert meta["generation"] == 1


def test_replace_needs_the_version_that_was_read(kubectl: Kubectl) -> None:
    kubectl.apply(config_map(a="1"))
    read = kubectl.object("get", "configmap", "settings")
    kubectl("patch", "configmap", "settings", "-p", '{"data":{"a":"2"}}')
    assert "the object has been modified" in kubectl("replace", "-f", "-", stdin=json.dumps(read), fails=True)


def test_create_twice_fails_and_generates_secrets_and_config_maps(kubectl: Kubectl) -> None:
    kubectl("create", "secret", "generic", "key", "--from-literal=token=abc")
    assert kubectl.object("get", "secret", "key")["data"] == {"token": "YWJj"}
    assert "already exists" in kubectl("create", "secret", "generic", "key", fails=True)
    kubectl("create", "configmap", "settings", "--from-literal=a=1")
    kubectl("create", "serviceaccount", "robot")
    assert kubectl("get", "serviceaccount", "robot", "-o", "name").strip() == "serviceaccount/robot"
    kubectl("create", "service", "clusterip", "front", "--tcp=80:8080")
    port = kubectl.object("get", "service", "front")["spec"]["ports"][0]
    assert port == {"name": "80-8080", "port": 80, "protocol": "TCP", "targetPort": 8080}
    kubectl("create", "configmap", "empty", "--from-literal=a=")
    assert kubectl.object("get", "configmap", "empty")["data"] == {"a": ""}


def test_create_of_a_namespace_by_its_own_command(kubectl: Kubectl) -> None:
    name = f"{kubectl.namespace}-2"
    kubectl("create", "namespace", name)
    assert kubectl.object("get", "namespace", name)["status"]["phase"] == "Active"


def test_delete_waits_for_finalizers(kubectl: Kubectl) -> None:
    held = config_map(a="1")
    held["metadata"]["finalizers"] = ["rayfleet.dev/test"]
    kubectl.apply(held)
    kubectl("delete", "configmap", "settings", "--wait=false")
    with kubectl.running("wait", "--for=delete", "configmap/settings", _WAIT) as waiting:
        assert kubectl.object("get", "configmap", "settings")["metadata"]["deletionTimestamp"]
        kubectl("patch", "configmap", "settings", "-p", '{"metadata":{"finalizers":null}}')
        assert waiting.wait(timeout=LIMIT_SECONDS) == 0
    kubectl("get", "configmap", "settings", fails=True)


def test_delete_of_all_and_by_label(kubectl: Kubectl) -> None:
    kubectl.apply(fleet("one"), fleet("two"), fleet("three"))
    kubectl("delete", "rcf", "-l", "app=two")
    kubectl("delete", "rcf", "--all", "--cascade=orphan", "--wait=false")
    assert kubectl("get", "rcf", "-o", "name", "-l", "app=two") == ""


def test_delete_of_a_pod_that_no_node_has_is_at_once(kubectl: Kubectl) -> None:
    kubectl.apply(pod())
    kubectl("delete", "pod", "web")
    kubectl.apply(pod("other"))
    kubectl("delete", "pod", "other", "--force", "--grace-period=0")
    assert kubectl("get", "pods", "-o", "name") == ""


def test_wait_for_a_condition_and_for_a_value(kubectl: Kubectl) -> None:
    kubectl.apply(pod())
    condition = '{"status":{"conditions":[{"type":"Ready","status":"True"}],"phase":"Running"}}'
    with kubectl.running("wait", "--for=condition=Ready", "pod/web", _WAIT) as waiting:
        kubectl("patch", "pod", "web", "--subresource=status", "-p", condition)
        assert waiting.wait(timeout=LIMIT_SECONDS) == 0
    kubectl("wait", "--for=jsonpath={.status.phase}=Running", "pod/web", _WAIT)
    kubectl("wait", "--for=condition=established", "crd/rayclusterfleets.orchestration.aibrix.ai", _WAIT)


def test_drain_evicts_and_waits_for_a_budget(kubectl: Kubectl) -> None:
    """Its evictions are protobuf. Who counts for the budget is another process: here it is the test."""
    node = f"node-{kubectl.namespace}"
    kubectl.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
    for name in ("one", "two"):
        running = pod(name)
        running["spec"]["nodeName"] = node
        kubectl.apply(running)
        _state(kubectl, f"pod/{name}", {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "two"}}}
    kubectl.apply(
        {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "kept"}, "spec": spec}
    )
    counts = {"currentHealthy": 1, "desiredHealthy": 1, "disruptionsAllowed": 0, "expectedPods": 1}
    _state(kubectl, "pdb/kept", {**counts, "observedGeneration": 1})
    told = kubectl("drain", node, "--force", "--grace-period=0", "--timeout=2s", fails=True)
    assert "violate the pod's disruption budget" in told
    assert [each["metadata"]["name"] for each in kubectl.object("get", "pods")["items"]] == ["two"]
    kubectl("delete", "node", node)


def _state(kubectl: Kubectl, name: str, status: Json) -> None:
    kubectl("patch", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
