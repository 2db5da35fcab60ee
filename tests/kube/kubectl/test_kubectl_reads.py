"""What users read with kubectl: on our server as on the real one."""

import json
from pathlib import Path

import yaml

from rayfleet.testing.kubectl import Kubectl, fleet, pod, service


def test_versions_are_within_the_skew_that_kubectl_supports(kubectl: Kubectl) -> None:
    found = kubectl.object("version")
    assert found["serverVersion"]["major"] == "1"
    assert found["serverVersion"]["gitVersion"].startswith("v1.36")


def test_api_resources_show_short_names_and_verbs(kubectl: Kubectl) -> None:
    rows = {line.split()[0]: line for line in kubectl("api-resources", "-o", "wide").splitlines()}
    assert "po" in rows["pods"].split()
    assert "orchestration.aibrix.ai/v1alpha1" in rows["rayclusterfleets"]
    assert "deletecollection" in rows["rayclusterfleets"]
    assert "discovery.k8s.io/v1" in rows["endpointslices"]


def test_explain_tells_fields_of_built_in_and_custom_kinds(kubectl: Kubectl) -> None:
    assert "<string>" in kubectl("explain", "pod.spec.containers.image")
    text = kubectl("explain", "rayclusterfleet.spec")
    assert "replicas\t<integer>" in text
    assert "strategy\t" in text
    assert 'field "nothing" does not exist' in kubectl("explain", "rayclusterfleet.spec.nothing", fails=True)


def test_get_shows_printer_columns_and_selects(kubectl: Kubectl) -> None:
    kubectl.apply(fleet("one"), fleet("two"))
    lines = kubectl("get", "rayclusterfleets").splitlines()
    assert lines[0].split()[0] == "NAME"
    assert {line.split()[0] for line in lines[1:]} == {"one", "two"}
    assert kubectl("get", "rcf", "-l", "app=two", "-o", "name").split() == [
        "rayclusterfleet.orchestration.aibrix.ai/two"
    ]
    assert (
        kubectl("get", "rcf", "--field-selector", "metadata.name=one", "-o", "jsonpath={.items[*].metadata.name}")
        == "one"
    )
    assert kubectl("get", "rcf", "-o", "custom-columns=N:.metadata.name", "--no-headers").split() == ["one", "two"]


def test_get_of_pods_shows_ready_status_and_restarts(kubectl: Kubectl) -> None:
    kubectl.apply(pod())
    header, row = kubectl("get", "pods", "-o", "wide").splitlines()
    assert header.split()[:5] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert row.split()[:4] == ["web", "0/1", "Pending", "0"]
    assert kubectl("get", "all").startswith("NAME")
    assert kubectl("get", "pods", "-A", "--no-headers").count(kubectl.namespace) == 1


def test_get_of_what_is_not_there_fails_as_usual(kubectl: Kubectl) -> None:
    assert (
        kubectl("get", "pod", "nobody", fails=True).strip() == 'Error from server (NotFound): pods "nobody" not found'
    )
    assert "the server doesn't have a resource type" in kubectl("get", "gadgets", fails=True)


def test_get_watch_prints_changes_as_they_come(kubectl: Kubectl) -> None:
    kubectl.apply(fleet())
    with kubectl.running("get", "rcf", "-w", "-o", "jsonpath={.metadata.name} {.spec.replicas}{'\\n'}") as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline() == "chat 1\n"
        kubectl("scale", "rcf", "chat", "--replicas=3")
        assert watching.stdout.readline() == "chat 3\n"
        kubectl("delete", "rcf", "chat")
        assert watching.stdout.readline() == "chat 3\n"


def test_get_watch_of_a_table_prints_rows(kubectl: Kubectl) -> None:
    kubectl.apply(pod())
    with kubectl.running("get", "pods", "-w") as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline().split()[0] == "NAME"
        assert watching.stdout.readline().split()[:3] == ["web", "0/1", "Pending"]
        kubectl("label", "pod", "web", "seen=yes")
        assert watching.stdout.readline().split()[:3] == ["web", "0/1", "Pending"]


def test_describe_shows_objects_with_their_events(kubectl: Kubectl) -> None:
    kubectl.apply(pod(), service(), fleet())
    uid = kubectl("get", "pod", "web", "-o", "jsonpath={.metadata.uid}")
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "web.1"},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": "web",
            "namespace": kubectl.namespace,
            "uid": uid,
        },
        "reason": "Tested",
        "message": "a test looked at it",
        "type": "Normal",
        "count": 2,
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "source": {"component": "test"},
    }
    kubectl("create", "-f", "-", stdin=json.dumps(event))
    described = kubectl("describe", "pod", "web")
    assert "Tested" in described
    assert "a test looked at it" in described
    assert "nginx:1" in described
    assert "TargetPort:" in kubectl("describe", "service", "web")
    assert "Generation:" in kubectl("describe", "rcf", "chat")
    assert "Status:" in kubectl("describe", "namespace", kubectl.namespace)
    assert "Tested" in kubectl("get", "events")
    assert "Tested" in kubectl("events", "--for", "pod/web")


def test_a_user_may_ask_who_it_is_and_what_it_may_do(kubectl: Kubectl) -> None:
    """As k9s, Lens and Headlamp do before they show anything."""
    assert kubectl("auth", "can-i", "get", "pods").strip() == "yes"
    assert "Username" in kubectl("auth", "whoami")


def test_auth_failure_is_told(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl("get", "pods")  # it keeps what kinds there are, and does not fail by asking for them
    content = yaml.safe_load(Path(kubectl.environment["KUBECONFIG"]).read_text())
    for user in content["users"]:
        user["user"] = {"token": "wrong"}
    wrong = tmp_path / "wrong"
    wrong.write_text(yaml.safe_dump(content))
    kubectl.environment["KUBECONFIG"] = str(wrong)
    assert "Unauthorized" in kubectl("get", "pods", fails=True)


def test_raw_requests_reach_health_and_lists(kubectl: Kubectl) -> None:
    assert kubectl("get", "--raw", "/readyz") == "ok"
    assert json.loads(kubectl("get", "--raw", "/api/v1/namespaces"))["kind"] == "NamespaceList"
