"""Forms of bodies and answers other than plain JSON, and what a query may say of time."""

import pytest
import yaml

from rayfleet.model.json import Json
from rayfleet.testing.raw_api import RawApi

YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
OLD_TABLE = "application/json;as=Table;v=v1beta1;g=meta.k8s.io"
OLD_METADATA = "application/json;as=PartialObjectMetadata;v=v1beta1;g=meta.k8s.io"


def yaml_map(name: str, data: str) -> bytes:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {data}\n".encode()


async def test_a_yaml_body_is_read(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/configmaps"
    answer = await api.call("POST", path, yaml_map("a", '{when: 2026-01-02, y: "1"}'), headers={"Content-Type": YAML})
    assert answer.status == 201, answer.body
    assert answer.json["data"] == {"when": "2026-01-02", "true": "1"}
    again = await api.call("PUT", f"{path}/a", yaml_map("a", "{b: c}"), headers={"Content-Type": YAML})
    assert (again.status, again.json["data"]) == (200, {"b": "c"})


@pytest.mark.parametrize(
    "body",
    [b"a: [\n", b"- a\n", yaml_map("a", "{b: yes}"), yaml_map("a", "{b: N}"), yaml_map("a", "{b: 2}")],
    ids=["broken", "list", "boolean", "short boolean", "number"],
)
async def test_a_yaml_body_that_is_no_such_object_is_refused(api: RawApi, ns: str, body: bytes) -> None:
    answer = await api.call("POST", f"/api/v1/namespaces/{ns}/configmaps", body, headers={"Content-Type": YAML})
    assert (answer.status, answer.reason) == (400, "BadRequest")


async def test_a_key_that_stands_twice_in_yaml_is_refused_when_that_is_asked_for(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/configmaps"
    body, headers = yaml_map("a", "\n  b: c\n  b: d"), {"Content-Type": YAML}
    strict = await api.call("POST", path, body, query={"fieldValidation": "Strict"}, headers=headers)
    assert (strict.status, strict.reason) == (400, "BadRequest")
    lenient = await api.call("POST", path, body, headers=headers)
    assert (lenient.status, len(lenient.warnings), lenient.json["data"]) == (201, 1, {"b": "d"})


@pytest.mark.parametrize(
    ("data", "value", "is_doubled"),
    [
        ('{<<: *l, z: "3"}', {"x": "1", "k": "1", "z": "3"}, False),
        ('{<<: *l, x: "3"}', {"x": "3", "k": "1"}, True),
        ('{x: "3", <<: *l}', {"x": "1", "k": "1"}, True),
        ("{<<: [*l, *m]}", {"x": "1", "k": "1", "v": "2"}, True),
        ("{<<: *l, <<: *n}", {"x": "1", "k": "1", "w": "4"}, False),
        ("{<<: *o}", {"x": "1", "k": "1", "u": "5"}, False),
    ],
    ids=["beside it", "under it", "over it", "of two", "twice", "in turn"],
)
async def test_what_yaml_merges_in_stands_where_the_merge_does(
    api: RawApi, ns: str, data: str, value: Json, is_doubled: bool
) -> None:
    """A key that is written too stands twice."""
    anchors = (
        "metadata:\n  name: a\n  labels: &l {x: '1', k: '1'}\n  annotations:\n"
        "    a: b\n  managedFields:\n  - fieldsV1: {l: &m {x: '2', v: '2'}, n: &n {w: '4'}, o: &o {<<: *l, u: '5'}}\n"
    )
    body = f"apiVersion: v1\nkind: ConfigMap\n{anchors}data: {data}\n".encode()
    path, headers = f"/api/v1/namespaces/{ns}/configmaps", {"Content-Type": YAML}
    strict = await api.call("POST", path, body, query={"fieldValidation": "Strict", "dryRun": "All"}, headers=headers)
    assert strict.status == (400 if is_doubled else 201), strict.body
    lenient = await api.call("POST", path, body, headers=headers)
    assert (lenient.status, lenient.json["data"], bool(lenient.warnings)) == (201, value, is_doubled)


@pytest.mark.parametrize("data", ["{<<: 1}", "{<<: [1]}", "&a {<<: *a}", "&a {b: *a}"])
async def test_a_merge_that_cannot_be_is_refused(api: RawApi, ns: str, data: str) -> None:
    path, headers = f"/api/v1/namespaces/{ns}/configmaps", {"Content-Type": YAML}
    answer = await api.call("POST", path, yaml_map("a", data), headers=headers)
    assert (answer.status, answer.reason) == (400, "BadRequest")


async def test_answers_are_written_as_yaml(api: RawApi, ns: str) -> None:
    answer = await api.get(f"/api/v1/namespaces/{ns}", accept=YAML)
    assert (answer.status, answer.headers["Content-Type"]) == (200, YAML)
    assert yaml.safe_load(answer.body)["metadata"]["name"] == ns
    listed = await api.get("/api/v1/namespaces", accept=f"{YAML},application/json")
    assert yaml.safe_load(listed.body)["kind"] == "NamespaceList"
    absent = await api.get("/api/v1/namespaces/not-there", accept=YAML)
    assert (absent.status, yaml.safe_load(absent.body)["reason"]) == (404, "NotFound")


async def test_an_answer_in_yaml_can_be_sent_back(api: RawApi, ns: str) -> None:
    """Texts that YAML would take for something else are quoted."""
    path, data = f"/api/v1/namespaces/{ns}/configmaps", {"y": "1e3", "b": "y", "c": "0x1", "d": "1:30", "e": "NO"}
    await api.post(path, {"metadata": {"name": "a"}, "data": data})
    answer = await api.call("GET", f"{path}/a", headers={"Accept": YAML})
    again = await api.call("PUT", f"{path}/a", answer.body, headers={"Content-Type": YAML})
    assert (again.status, again.json["data"]) == (200, data)


async def test_json_stays_the_answer_of_those_who_like_it_better(api: RawApi, ns: str) -> None:
    answer = await api.get(f"/api/v1/namespaces/{ns}", accept=f"application/json,{YAML}")
    assert answer.json["metadata"]["name"] == ns


async def test_a_watch_is_not_written_as_yaml(api: RawApi) -> None:
    answer = await api.get("/api/v1/namespaces", accept=YAML, watch="true", timeoutSeconds="1")
    assert answer.status == 406


@pytest.mark.parametrize("timeout", ["abc", "5", "5x", "1s5", "-", "1.2.3s"])
async def test_a_timeout_that_is_no_duration_is_refused(api: RawApi, ns: str, timeout: str) -> None:
    assert (await api.get(f"/api/v1/namespaces/{ns}", timeout=timeout)).status == 400
    path = f"/api/v1/namespaces/{ns}/configmaps"
    assert (await api.post(path, {"metadata": {"name": "a"}}, timeout=timeout)).reason == "BadRequest"
    assert (await api.get(f"{path}/a")).status == 404


@pytest.mark.parametrize("timeout", ["", "0", "30s", "1.5m3s", "99h", "+1h", ".5s", "2000ms"])
async def test_a_timeout_that_is_a_duration_is_taken(api: RawApi, ns: str, timeout: str) -> None:
    assert (await api.get(f"/api/v1/namespaces/{ns}", timeout=timeout)).status == 200


async def test_tables_and_metadata_are_told_in_their_old_version_too(api: RawApi, ns: str) -> None:
    table = (await api.get(f"/api/v1/namespaces/{ns}", accept=OLD_TABLE)).json
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1beta1")
    assert table["rows"][0]["object"]["apiVersion"] == "meta.k8s.io/v1beta1"
    metadata = (await api.get(f"/api/v1/namespaces/{ns}", accept=OLD_METADATA)).json
    assert (metadata["kind"], metadata["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1beta1")
    assert (await api.get(f"/api/v1/namespaces/{ns}", accept=OLD_TABLE.replace("v1beta1", "v2"))).status == 406


def _field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2, len(value)]) + value


def delete_options(body: bytes, kind: bytes = b"DeleteOptions") -> bytes:
    return b"k8s\0" + _field(1, _field(1, b"v1") + _field(2, kind)) + _field(2, body)


async def _config_map(api: RawApi, ns: str) -> tuple[str, Json]:
    path = f"/api/v1/namespaces/{ns}/configmaps"
    made = await api.post(path, {"metadata": {"name": "a"}})
    return f"{path}/a", made.json


async def test_options_of_a_deletion_are_read_from_protobuf(api: RawApi, ns: str) -> None:
    path, _ = await _config_map(api, ns)
    headers = {"Content-Type": PROTOBUF}
    other = delete_options(_field(2, _field(1, b"another-uid")))
    assert (await api.call("DELETE", path, other, headers=headers)).status == 409
    dry = delete_options(_field(5, b"All"))
    assert (await api.call("DELETE", path, dry, headers=headers)).status == 200
    assert (await api.get(path)).status == 200
    plain = delete_options(bytes([1 << 3, 0]))
    assert (await api.call("DELETE", path, plain, headers=headers)).status == 200
    assert (await api.get(path)).status == 404


async def test_options_of_a_deletion_are_read_from_yaml(api: RawApi, ns: str) -> None:
    path, made = await _config_map(api, ns)
    options = f"preconditions: {{uid: {made['metadata']['uid']}}}\n".encode()
    assert (await api.call("DELETE", path, options, headers={"Content-Type": YAML})).status == 200
    assert (await api.get(path)).status == 404


@pytest.mark.parametrize(
    "options",
    [
        {"gracePeriodSeconds": "0"},
        {"gracePeriodSeconds": 1.5},
        {"kind": "ConfigMap"},
        {"kind": "ConfigMap", "apiVersion": "v1"},
        {"preconditions": {"uid": 5}},
        {"orphanDependents": "true"},
        {"dryRun": "All"},
        {"propagationPolicy": 5},
    ],
)
async def test_options_of_a_wrong_type_delete_nothing(api: RawApi, ns: str, options: Json) -> None:
    path, _ = await _config_map(api, ns)
    answer = await api.delete(path, options)
    assert (answer.status, answer.reason) == (400, "BadRequest")
    assert "deletionTimestamp" not in (await api.get(path)).json["metadata"]


@pytest.mark.parametrize(
    "options", [{"kind": "DeleteOptions"}, {"kind": "DeleteOptions", "apiVersion": "policy/v1"}, {"unknown": 1}]
)
async def test_options_of_any_version_delete(api: RawApi, ns: str, options: Json) -> None:
    path, _ = await _config_map(api, ns)
    assert (await api.delete(path, options)).status == 200
    assert (await api.get(path)).status == 404
