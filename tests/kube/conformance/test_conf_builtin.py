"""What the built-in kinds fill in, check and show."""

import base64
import ipaddress
from typing import Any

import pytest

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.testing.raw_api import RawApi

CONTAINER: Json = {"name": "c", "image": "i:1"}


async def post_pod(api: RawApi, ns: str, **spec: Any) -> Any:
    body = {"metadata": {"name": "p"}, "spec": {"containers": [CONTAINER], **spec}}
    return await api.post(f"/api/v1/namespaces/{ns}/pods", body)


async def test_a_pod_is_filled_in(api: RawApi, ns: str) -> None:
    container = {
        **CONTAINER,
        "ports": [{"containerPort": 80}],
        "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}},
        "readinessProbe": {"httpGet": {"port": 80}},
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    }
    volumes = [{"name": "v"}, {"name": "s", "secret": {"secretName": "x"}}]
    pod = (await post_pod(api, ns, containers=[container], volumes=volumes)).json
    spec = pod["spec"]
    found = spec["containers"][0]
    assert found["imagePullPolicy"] == "IfNotPresent"
    assert found["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert found["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    assert found["resources"]["limits"] == {"cpu": "500m", "memory": "1Gi"}
    assert found["resources"]["requests"] == found["resources"]["limits"]
    assert found["readinessProbe"] == {
        "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert found["terminationMessagePath"] == "/dev/termination-log"
    assert spec["volumes"][0]["emptyDir"] == {}
    assert spec["volumes"][1]["secret"]["defaultMode"] == 420
    assert (spec["restartPolicy"], spec["dnsPolicy"], spec["schedulerName"]) == (
        "Always",
        "ClusterFirst",
        "default-scheduler",
    )
    assert spec["terminationGracePeriodSeconds"] == 30
    assert (spec["enableServiceLinks"], spec["securityContext"], spec["priority"]) == (True, {}, 0)
    assert len(spec["tolerations"]) == 2
    assert pod["status"] == {"phase": "Pending", "qosClass": "Guaranteed"}
    assert pod["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("resources", "quality"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"}}, "Burstable"),
        ({"limits": {"nvidia.com/gpu": "1"}}, "BestEffort"),
    ],
)
async def test_a_pods_quality_follows_from_its_resources(
    api: RawApi, ns: str, resources: ReadOnlyJson, quality: str
) -> None:
    answer = await post_pod(api, ns, containers=[{**CONTAINER, "resources": resources}])
    assert answer.json["status"]["qosClass"] == quality


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("i", "Always"),
        ("i:latest", "Always"),
        ("i:1", "IfNotPresent"),
        ("h:5000/i", "Always"),
        ("h:5000/i:1", "IfNotPresent"),
    ],
)
async def test_an_image_is_pulled_by_its_tag(api: RawApi, ns: str, image: str, policy: str) -> None:
    answer = await post_pod(api, ns, containers=[{"name": "c", "image": image}])
    assert answer.json["spec"]["containers"][0]["imagePullPolicy"] == policy


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1024Ki", "1Mi"),
        ("1.5Gi", "1536Mi"),
        ("2e3", "2e3"),
        ("1E", "1E"),
        ("100", "100"),
        ("0.1m", "1m"),
        (3, "3"),
        ("1Ki", "1Ki"),
        ("1500Ki", "1500Ki"),
        ("0", "0"),
        ("1000k", "1M"),
    ],
)
async def test_a_quantity_has_one_form(api: RawApi, ns: str, given: object, kept: str) -> None:
    resources = {"requests": {"memory": given}}
    answer = await post_pod(api, ns, containers=[{**CONTAINER, "resources": resources}])
    assert answer.status == 201, answer.body
    assert answer.json["spec"]["containers"][0]["resources"]["requests"]["memory"] == kept


PODS: dict[str, tuple[Json, int, str]] = {
    "no containers": ({"containers": []}, 422, "spec.containers"),
    "no image": ({"containers": [{"name": "c"}]}, 422, "spec.containers[0].image"),
    "no name": ({"containers": [{"image": "i"}]}, 422, "spec.containers[0].name"),
    "bad name": ({"containers": [{"name": "C_", "image": "i"}]}, 422, "spec.containers[0].name"),
    "name twice": ({"containers": [CONTAINER, CONTAINER]}, 422, "spec.containers[1].name"),
    "port": (
        {"containers": [{**CONTAINER, "ports": [{"containerPort": 70000}]}]},
        422,
        "spec.containers[0].ports[0].containerPort",
    ),
    "protocol": (
        {"containers": [{**CONTAINER, "ports": [{"containerPort": 7, "protocol": "SMTP"}]}]},
        422,
        "spec.containers[0].ports[0].protocol",
    ),
    "restart policy": ({"restartPolicy": "Sometimes"}, 422, "spec.restartPolicy"),
    "mount without volume": (
        {"containers": [{**CONTAINER, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]},
        422,
        "spec.containers[0].volumeMounts[0].name",
    ),
    "volume twice": ({"volumes": [{"name": "v"}, {"name": "v"}]}, 422, "spec.volumes[1].name"),
    "probe without handler": (
        {"containers": [{**CONTAINER, "livenessProbe": {"periodSeconds": 1}}]},
        422,
        "spec.containers[0].livenessProbe",
    ),
    "variable without name": (
        {"containers": [{**CONTAINER, "env": [{"value": "x"}]}]},
        422,
        "spec.containers[0].env[0].name",
    ),
    "wrong type": ({"containers": [{**CONTAINER, "ports": [{"containerPort": "x"}]}]}, 400, ""),
    "containers no list": ({"containers": {}}, 400, ""),
    "wrong quantity": ({"containers": [{**CONTAINER, "resources": {"limits": {"cpu": "many"}}}]}, 400, ""),
}


@pytest.mark.parametrize("case", PODS.values(), ids=PODS.keys())
async def test_a_wrong_pod_is_refused(api: RawApi, ns: str, case: tuple[ReadOnlyJson, int, str]) -> None:
    spec, status, field = case
    answer = await post_pod(api, ns, **spec)
    assert answer.status == status, answer.body
    if field:
        assert field in {name for name, _ in answer.causes}, answer.causes


async def test_a_negative_grace_period_is_the_shortest(api: RawApi, ns: str) -> None:
    answer = await post_pod(api, ns, terminationGracePeriodSeconds=-1)
    assert answer.json["spec"]["terminationGracePeriodSeconds"] == 1


async def test_a_pod_is_bound_once(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/pods/p"
    await post_pod(api, ns)
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "p"},
        "target": {"kind": "Node", "name": "n1"},
    }
    answer = await api.post(f"{path}/binding", binding)
    assert (answer.status, answer.json["status"]) == (201, "Success")
    pod = (await api.get(path)).json
    assert pod["spec"]["nodeName"] == "n1"
    (condition,) = pod["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "True")
    again = await api.post(f"{path}/binding", binding)
    assert (again.status, again.reason) == (409, "Conflict")


@pytest.mark.parametrize("target", [{}, {"kind": "Pod", "name": "n"}, {"kind": "Node"}])
async def test_a_binding_needs_a_node(api: RawApi, ns: str, target: ReadOnlyJson) -> None:
    await post_pod(api, ns)
    answer = await api.post(f"/api/v1/namespaces/{ns}/pods/p/binding", {"metadata": {"name": "p"}, "target": target})
    assert answer.status in (422, 500)  # the real server says 500 and the field; so much for the letter
    assert "target" in answer.json["message"]


async def test_a_service_is_filled_in(api: RawApi, ns: str) -> None:
    body = {"metadata": {"name": "s"}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]}}
    service = (await api.post(f"/api/v1/namespaces/{ns}/services", body)).json
    spec = service["spec"]
    assert spec["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert (spec["type"], spec["sessionAffinity"], spec["internalTrafficPolicy"]) == ("ClusterIP", "None", "Cluster")
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert ipaddress.IPv4Address(spec["clusterIP"]).is_private
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    assert service["status"] == {"loadBalancer": {}}
    kept = (await api.put(f"/api/v1/namespaces/{ns}/services/s", body)).json
    assert kept["spec"]["clusterIP"] == spec["clusterIP"]


async def test_a_headless_service_needs_no_port(api: RawApi, ns: str) -> None:
    body = {"metadata": {"name": "s"}, "spec": {"clusterIP": "None", "selector": {"a": "b"}}}
    answer = await api.post(f"/api/v1/namespaces/{ns}/services", body)
    assert answer.status == 201
    assert answer.json["spec"]["clusterIPs"] == ["None"]


SERVICES: dict[str, tuple[Json, str]] = {
    "no ports": ({}, "spec.ports"),
    "port too large": ({"ports": [{"port": 70000}]}, "spec.ports[0].port"),
    "no name of two": ({"ports": [{"port": 1}, {"port": 2}]}, "spec.ports[0].name"),
    "name twice": ({"ports": [{"name": "a", "port": 1}, {"name": "a", "port": 2}]}, "spec.ports[1].name"),
    "unknown type": ({"type": "Magic", "ports": [{"port": 1}]}, "spec.type"),
    "address out of range": ({"clusterIP": "192.168.0.1", "ports": [{"port": 1}]}, "spec.clusterIPs"),
    "no address": ({"clusterIP": "x", "ports": [{"port": 1}]}, "spec.clusterIPs[0]"),
    "bad protocol": ({"ports": [{"port": 1, "protocol": "SMTP"}]}, "spec.ports[0].protocol"),
    "bad selector": ({"ports": [{"port": 1}], "selector": {"a b": "c"}}, "spec.selector"),
    "external without name": ({"type": "ExternalName"}, "spec.externalName"),
}


@pytest.mark.parametrize("case", SERVICES.values(), ids=SERVICES.keys())
async def test_a_wrong_service_is_refused(api: RawApi, ns: str, case: tuple[ReadOnlyJson, str]) -> None:
    spec, field = case
    answer = await api.post(f"/api/v1/namespaces/{ns}/services", {"metadata": {"name": "s"}, "spec": spec})
    assert (answer.status, answer.reason) == (422, "Invalid"), answer.body
    assert field in {name for name, _ in answer.causes}, answer.causes


@pytest.mark.parametrize("name", ["-abc", "a.b", "A"])
async def test_a_services_name_is_a_host_name(api: RawApi, ns: str, name: str) -> None:
    body = {"metadata": {"name": name}, "spec": {"ports": [{"port": 1}]}}
    assert (await api.post(f"/api/v1/namespaces/{ns}/services", body)).status == 422


async def test_an_address_is_given_once(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/services"
    first = (await api.post(path, {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 1}]}})).json
    taken = first["spec"]["clusterIP"]
    answer = await api.post(path, {"metadata": {"name": "b"}, "spec": {"ports": [{"port": 1}], "clusterIP": taken}})
    assert answer.status == 422
    changed = await api.patch(f"{path}/a", {"spec": {"clusterIP": "10.0.200.1", "clusterIPs": ["10.0.200.1"]}})
    assert (changed.status, changed.reason) == (422, "Invalid")


async def test_a_secret_takes_plain_text(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/secrets"
    body = {"metadata": {"name": "s"}, "data": {"b": "eA=="}, "stringData": {"a": "text", "b": "wins"}}
    secret = (await api.post(path, body)).json
    assert secret["type"] == "Opaque"
    assert "stringData" not in secret
    assert {key: base64.b64decode(value) for key, value in secret["data"].items()} == {"a": b"text", "b": b"wins"}
    changed = (await api.patch(f"{path}/s", {"stringData": {"a": "new"}})).json
    assert base64.b64decode(changed["data"]["a"]) == b"new"


@pytest.mark.parametrize(
    ("plural", "body", "status"),
    [
        ("secrets", {"data": {"a": "not base64!"}}, 400),
        ("secrets", {"data": {"a b": "eA=="}}, 422),
        ("configmaps", {"data": {"a b": "x"}}, 422),
        ("configmaps", {"data": {"a": "x"}, "binaryData": {"a": "eA=="}}, 422),
        ("configmaps", {"data": {"a": "x" * (1 << 20), "b": "x"}}, 422),
    ],
)
async def test_wrong_data_is_refused(api: RawApi, ns: str, plural: str, body: ReadOnlyJson, status: int) -> None:
    answer = await api.post(f"/api/v1/namespaces/{ns}/{plural}", {"metadata": {"name": "x"}, **body})
    assert answer.status == status


async def test_a_namespace_is_filled_in(api: RawApi, ns: str) -> None:
    found = (await api.get(f"/api/v1/namespaces/{ns}")).json
    assert found["metadata"]["labels"] == {"kubernetes.io/metadata.name": ns}
    assert found["spec"] == {"finalizers": ["kubernetes"]}
    assert found["status"] == {"phase": "Active"}


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public", "kube-node-lease"])
async def test_every_cluster_has_its_namespaces(api: RawApi, name: str) -> None:
    assert (await api.get(f"/api/v1/namespaces/{name}")).json["status"]["phase"] == "Active"


async def test_a_new_node_is_tainted_until_it_is_ready(api: RawApi, ns: str) -> None:
    node = (await api.post("/api/v1/nodes", {"metadata": {"name": ns}, "status": {"capacity": {"cpu": "2"}}})).json
    assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    assert node["status"]["capacity"] == {"cpu": "2"}
    await api.delete(f"/api/v1/nodes/{ns}")


LEASES: dict[str, tuple[Json, int]] = {
    "whole": ({"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": "2026-01-02T03:04:05.000006Z"}, 201),
    "empty": ({}, 201),
    "zero duration": ({"leaseDurationSeconds": 0}, 422),
    "negative transitions": ({"leaseTransitions": -1}, 422),
    "short fraction": ({"renewTime": "2026-01-02T03:04:05.5Z"}, 400),
    "no time": ({"renewTime": "soon"}, 400),
}


@pytest.mark.parametrize("case", LEASES.values(), ids=LEASES.keys())
async def test_a_lease_is_checked(api: RawApi, ns: str, case: tuple[ReadOnlyJson, int]) -> None:
    spec, status = case
    path = f"/apis/coordination.k8s.io/v1/namespaces/{ns}/leases"
    assert (await api.post(path, {"metadata": {"name": "l"}, "spec": spec})).status == status


SLICES: dict[str, tuple[Json, int]] = {
    "whole": ({"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": True}}]}, 201),
    "no type": ({"endpoints": []}, 422),
    "unknown type": ({"addressType": "Pigeon", "endpoints": []}, 422),
    "no address": ({"addressType": "IPv4", "endpoints": [{"addresses": []}]}, 422),
    "no ip": ({"addressType": "IPv4", "endpoints": [{"addresses": ["x"]}]}, 422),
    "port names twice": ({"addressType": "IPv4", "endpoints": [], "ports": [{"port": 1}, {"port": 2}]}, 422),
}


@pytest.mark.parametrize("case", SLICES.values(), ids=SLICES.keys())
async def test_an_endpoint_slice_is_checked(api: RawApi, ns: str, case: tuple[ReadOnlyJson, int]) -> None:
    body, status = case
    path = f"/apis/discovery.k8s.io/v1/namespaces/{ns}/endpointslices"
    answer = await api.post(path, {"metadata": {"name": "e"}, "ports": [{"port": 80}], **body})
    assert answer.status == status, answer.body
    if status == 201:
        assert answer.json["ports"] == [{"name": "", "protocol": "TCP", "port": 80}]
        assert answer.json["metadata"]["generation"] == 1
        changed = await api.patch(f"{path}/e", {"addressType": "IPv6"})
        assert changed.status == 422


BUDGETS: dict[str, tuple[Json, str]] = {
    "whole": ({"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}, ""),
    "empty": ({}, ""),
    "both bounds": ({"minAvailable": 1, "maxUnavailable": 1}, "spec"),
    "below zero": ({"minAvailable": -1}, "spec.minAvailable"),
    "above all": ({"maxUnavailable": "150%"}, "spec.maxUnavailable"),
    "a word": ({"minAvailable": "some"}, "spec.minAvailable"),
    "unknown policy": ({"minAvailable": 1, "unhealthyPodEvictionPolicy": "Some"}, "spec.unhealthyPodEvictionPolicy"),
    "bad selector": ({"selector": {"matchLabels": {"a b": "c"}}}, "spec.selector.matchLabels"),
}


@pytest.mark.parametrize("case", BUDGETS.values(), ids=BUDGETS.keys())
async def test_a_disruption_budget_is_checked(api: RawApi, ns: str, case: tuple[ReadOnlyJson, str]) -> None:
    spec, field = case
    path = f"/apis/policy/v1/namespaces/{ns}/poddisruptionbudgets"
    answer = await api.post(path, {"metadata": {"name": "b"}, "spec": spec})
    if field:
        assert (answer.status, {name for name, _ in answer.causes}) == (422, {field}), answer.body
        return
    counts = ("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods")
    assert answer.json["status"] == dict.fromkeys(counts, 0)
    changed = (await api.patch(f"{path}/b", {"spec": {"minAvailable": 2}})).json
    assert [answer.json["metadata"]["generation"], changed["metadata"]["generation"]] == [1, 2]


@pytest.mark.parametrize(("about", "status"), [("", 422), ("other", 422), ("{}", 201)])
async def test_an_event_lies_where_its_object_does(api: RawApi, ns: str, about: str, status: int) -> None:
    involved = {"kind": "Pod", "name": "p", "namespace": about.format(ns)}
    body = {"metadata": {"name": "e"}, "involvedObject": involved, "reason": "R", "message": "m", "type": "Normal"}
    answer = await api.post(f"/api/v1/namespaces/{ns}/events", body)
    assert answer.status == status
    if status == 201:
        assert answer.json["reportingComponent"] == ""
        assert answer.json["eventTime"] is None
