"""What is served, as clients find out."""

from typing import Any

import pytest

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.testing.raw_api import RawApi
from rayfleet.testing.waiting import until

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
ALL_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
BUILT_IN: list[tuple[str, str, str, bool, list[str]]] = [
    ("api/v1", "configmaps", "ConfigMap", True, ["cm"]),
    ("api/v1", "events", "Event", True, ["ev"]),
    ("api/v1", "namespaces", "Namespace", False, ["ns"]),
    ("api/v1", "nodes", "Node", False, ["no"]),
    ("api/v1", "pods", "Pod", True, ["po"]),
    ("api/v1", "secrets", "Secret", True, []),
    ("api/v1", "serviceaccounts", "ServiceAccount", True, ["sa"]),
    ("api/v1", "services", "Service", True, ["svc"]),
    ("apis/coordination.k8s.io/v1", "leases", "Lease", True, []),
    ("apis/discovery.k8s.io/v1", "endpointslices", "EndpointSlice", True, []),
    ("apis/policy/v1", "poddisruptionbudgets", "PodDisruptionBudget", True, ["pdb"]),
    (
        "apis/apiextensions.k8s.io/v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        False,
        ["crd", "crds"],
    ),
]


HASHES = {
    "configmaps": "qFsyl6wFWjQ=",
    "events": "r2yiGXH7wu8=",
    "namespaces": "Q3oi5N2YM8M=",
    "nodes": "XwShjMxG9Fs=",
    "pods": "xPOwRZ+Yhw8=",
    "secrets": "S6u1pOWzb84=",
    "serviceaccounts": "pbx9ZvyFpBE=",
    "services": "0/CO1lhkEBI=",
    "leases": "gqkMMb/YqFM=",
    "endpointslices": "qgS0xkrxYAI=",
    "poddisruptionbudgets": "EVWiDmWqyJw=",
    "customresourcedefinitions": "jfWCUB31mvA=",
}


@pytest.fixture
async def widgets(api: RawApi, widgets: str) -> str:
    """The same, told of: a real server does that some moments after it serves a new kind, each list at its own time."""
    group, version = "conformance.rayfleet.dev", "conformance.rayfleet.dev/v1"

    async def untold() -> list[str]:
        groups = (await api.get("/apis")).json["groups"]
        aggregated = (await api.get("/apis", accept=AGGREGATED.format("v2"))).json["items"]
        told = {
            f"/apis/{version}": (await api.get(f"/apis/{version}")).status == 200,
            "/apis": any(each["name"] == group for each in groups),
            "/apis, aggregated": any(each["metadata"]["name"] == group for each in aggregated),
            "/openapi/v3": f"apis/{version}" in (await api.get("/openapi/v3")).json["paths"],
        }
        return [place for place, is_told in told.items() if not is_told]

    await until(untold, "all lists tell of widgets", holds=lambda left: not left)
    return widgets


async def resources(api: RawApi, path: str) -> dict[str, Any]:
    found = (await api.get(f"/{path}")).json
    assert found["kind"] == "APIResourceList"
    return {each["name"]: each for each in found["resources"]}


@pytest.mark.parametrize(
    ("path", "plural", "kind", "namespaced", "short"), BUILT_IN, ids=[each[1] for each in BUILT_IN]
)
async def test_a_built_in_kind_is_listed(
    api: RawApi, path: str, plural: str, kind: str, namespaced: bool, short: list[str]
) -> None:
    found = (await resources(api, path))[plural]
    assert found["storageVersionHash"] == HASHES[plural]
    assert (found["kind"], found["namespaced"], found["singularName"]) == (kind, namespaced, kind.lower())
    assert found.get("shortNames", []) == short
    assert sorted(found["verbs"]) == [
        verb for verb in ALL_VERBS if plural != "namespaces" or verb != "deletecollection"
    ]


@pytest.mark.parametrize(
    ("path", "name", "kind", "verbs"),
    [
        ("api/v1", "pods/status", "Pod", ["get", "patch", "update"]),
        ("api/v1", "pods/log", "Pod", ["get"]),
        ("api/v1", "pods/binding", "Binding", ["create"]),
        ("api/v1", "namespaces/finalize", "Namespace", ["update"]),
        ("api/v1", "nodes/status", "Node", ["get", "patch", "update"]),
        ("api/v1", "services/status", "Service", ["get", "patch", "update"]),
        (
            "apis/apiextensions.k8s.io/v1",
            "customresourcedefinitions/status",
            "CustomResourceDefinition",
            ["get", "patch", "update"],
        ),
    ],
)
async def test_a_subresource_is_listed(api: RawApi, path: str, name: str, kind: str, verbs: list[str]) -> None:
    found = (await resources(api, path))[name]
    assert (found["kind"], found["verbs"]) == (kind, verbs)


async def test_a_custom_kind_is_listed(api: RawApi, widgets: str) -> None:
    found = await resources(api, "apis/conformance.rayfleet.dev/v1")
    widget = found["widgets"]
    assert (widget["kind"], widget["singularName"], widget["shortNames"]) == ("Widget", "widget", ["wdg"])
    assert widget["categories"] == ["conformance"]
    assert sorted(widget["verbs"]) == ALL_VERBS
    assert widget["storageVersionHash"] == "zdoW3vjJOBg="
    assert found["widgets/scale"]["kind"] == "Scale"
    assert (found["widgets/scale"]["group"], found["widgets/scale"]["version"]) == ("autoscaling", "v1")
    assert found["widgets/status"]["kind"] == "Widget"


async def test_groups_are_listed(api: RawApi, widgets: str) -> None:
    found = (await api.get("/apis")).json
    assert (found["kind"], found["apiVersion"]) == ("APIGroupList", "v1")
    groups = {each["name"]: each for each in found["groups"]}
    assert {
        "coordination.k8s.io",
        "discovery.k8s.io",
        "apiextensions.k8s.io",
        "conformance.rayfleet.dev",
    } <= groups.keys()
    assert groups["conformance.rayfleet.dev"]["preferredVersion"]["groupVersion"] == "conformance.rayfleet.dev/v1"
    one = (await api.get("/apis/conformance.rayfleet.dev")).json
    assert (one["kind"], one["name"]) == ("APIGroup", "conformance.rayfleet.dev")


async def test_the_core_group_has_one_version(api: RawApi) -> None:
    found = (await api.get("/api")).json
    assert (found["kind"], found["versions"]) == ("APIVersions", ["v1"])


async def test_an_old_form_of_aggregation_is_spoken_or_passed_over(api: RawApi, widgets: str) -> None:
    answer = await api.get("/apis", accept=f"{AGGREGATED.format('v2beta1')},application/json")
    assert answer.status == 200
    assert ("v2beta1" in answer.headers["Content-Type"]) is (answer.json["kind"] == "APIGroupDiscoveryList")


async def test_discovery_is_aggregated_on_demand(api: RawApi, widgets: str) -> None:
    answer = await api.get("/apis", accept=f"{AGGREGATED.format('v2')},application/json")
    assert "v=v2" in answer.headers["Content-Type"]
    assert (answer.json["kind"], answer.json["apiVersion"]) == (
        "APIGroupDiscoveryList",
        "apidiscovery.k8s.io/v2",
    )
    groups = {each["metadata"]["name"]: each for each in answer.json["items"]}
    (served,) = groups["conformance.rayfleet.dev"]["versions"]
    (widget,) = served["resources"]
    assert served["freshness"] == "Current"
    assert (widget["resource"], widget["scope"], widget["singularResource"]) == ("widgets", "Namespaced", "widget")
    assert widget["responseKind"]["kind"] == "Widget"
    assert {each["subresource"] for each in widget["subresources"]} == {"status", "scale"}


async def test_the_core_group_is_aggregated_too(api: RawApi) -> None:
    found = (await api.get("/api", accept=AGGREGATED.format("v2"))).json
    (group,) = found["items"]
    (version,) = group["versions"]
    kinds = {each["resource"]: each["responseKind"]["kind"] for each in version["resources"]}
    assert kinds["pods"] == "Pod"
    pod = next(each for each in version["resources"] if each["resource"] == "pods")
    assert (pod["shortNames"], pod["categories"]) == (["po"], ["all"])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/apis/nothing.io", 404),
        ("/apis/nothing.io/v1", 404),
        ("/apis/nothing.io/v1/things", 404),
        ("/api/v2", 404),
        ("/api/v1/things", 404),
        ("/api/v1/namespaces/default/things", 404),
        ("/api/v1/namespaces/default/configmaps/a/status", 404),
        ("/api/v1/namespaces/default/pods/a/nothing", 404),
        ("/nothing", 404),
    ],
)
async def test_what_is_not_served_is_not_found(api: RawApi, path: str, status: int) -> None:
    assert (await api.get(path)).status == status


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/api/v1/namespaces/default/configmaps"),
        ("PATCH", "/api/v1/namespaces/default/configmaps"),
        ("POST", "/api/v1/namespaces/default/configmaps/a"),
        ("POST", "/api/v1/configmaps"),
        ("DELETE", "/api/v1/namespaces/default/pods/a/status"),
        ("PATCH", "/api/v1/namespaces/default/pods/a/binding"),
        ("GET", "/api/v1/namespaces/default/pods/a/binding"),
    ],
)
async def test_a_verb_that_is_not_there_is_not_allowed(api: RawApi, method: str, path: str) -> None:
    answer = await api.call(method, path, {})
    assert (answer.status, answer.reason) == (405, "MethodNotAllowed")


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
async def test_health_needs_no_token(api: RawApi, path: str) -> None:
    answer = await api.call("GET", path, headers={"Authorization": ""})
    assert (answer.status, answer.body) == (200, b"ok")


async def test_the_version_is_told(api: RawApi) -> None:
    found = (await api.get("/version")).json
    assert (found["major"], found["minor"]) == ("1", "36")
    assert found["gitVersion"].startswith("v1.36")


@pytest.mark.parametrize("path", ["/api", "/apis", "/api/v1/namespaces", "/openapi/v3"])
async def test_a_wrong_token_is_unauthorized(api: RawApi, path: str) -> None:
    answer = await api.call("GET", path, headers={"Authorization": "Bearer wrong"})
    assert (answer.status, answer.reason) == (401, "Unauthorized")
    assert answer.json["kind"] == "Status"


async def test_openapi_names_the_document_of_each_version(api: RawApi, widgets: str) -> None:
    paths = (await api.get("/openapi/v3")).json["paths"]
    for path in ("api/v1", "apis/coordination.k8s.io/v1", "apis/conformance.rayfleet.dev/v1"):
        url = paths[path]["serverRelativeURL"]
        assert url.startswith(f"/openapi/v3/{path}?hash=")
        assert (await api.get(url.partition("?")[0])).status == 200


@pytest.mark.parametrize(
    ("path", "kind", "field"),
    [
        ("api/v1", "Pod", "spec"),
        ("api/v1", "ConfigMap", "data"),
        ("api/v1", "Service", "spec"),
        ("apis/discovery.k8s.io/v1", "EndpointSlice", "endpoints"),
        ("apis/conformance.rayfleet.dev/v1", "Widget", "spec"),
    ],
)
async def test_openapi_has_the_schema_and_the_paths(
    api: RawApi, widgets: str, path: str, kind: str, field: str
) -> None:
    document = (await api.get(f"/openapi/v3/{path}")).json
    found = [
        schema
        for schema in document["components"]["schemas"].values()
        if any(each["kind"] == kind for each in schema.get("x-kubernetes-group-version-kind", ()))
    ]
    assert field in found[0]["properties"]
    patches = [
        operations["patch"]
        for operations in document["paths"].values()
        if operations.get("patch", {}).get("x-kubernetes-group-version-kind", {}).get("kind") == kind
    ]
    names = {parameter["name"] for each in patches for parameter in each.get("parameters", ())}
    assert {"dryRun", "fieldValidation"} <= names


async def test_the_server_is_a_service_of_the_cluster(api: RawApi) -> None:
    service = (await api.get("/api/v1/namespaces/default/services/kubernetes")).json
    assert service["metadata"]["labels"] == {"component": "apiserver", "provider": "kubernetes"}
    assert service["spec"]["clusterIP"].endswith(".0.1")
    (port,) = service["spec"]["ports"]
    assert (port["name"], port["port"], port["targetPort"]) == ("https", 443, api_port(api))
    endpoints = (await api.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes")).json
    assert endpoints["metadata"]["labels"] == {"kubernetes.io/service-name": "kubernetes"}
    assert endpoints["ports"][0]["port"] == api_port(api)


def api_port(api: RawApi) -> int:
    return int(api.address.url.rpartition(":")[2])


async def test_the_old_openapi_document_has_custom_schemas_too(api: RawApi, widgets: str) -> None:
    def widget_of(document: ReadOnlyJson) -> Json | None:
        return next((each for each in document["definitions"].values() if _is_widget(each)), None)

    async def look() -> Json | None:
        return widget_of((await api.get("/openapi/v2")).json)

    widget = await until(look, "the schema of widgets", holds=lambda each: each is not None)
    assert widget is not None
    assert widget["properties"]["spec"]["properties"]["replicas"]["type"] == "integer"
    assert widget["properties"]["metadata"]["$ref"] == "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def _is_widget(schema: ReadOnlyJson) -> bool:
    return any(each["kind"] == "Widget" for each in schema.get("x-kubernetes-group-version-kind", ()))
