"""Server-side apply: who owns which fields, conflicts, force, what an applier no longer states."""

from typing import Any

import pytest

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.testing.raw_api import Answer, RawApi

APPLY = "application/apply-patch+yaml"


def config_map(name: str = "a", **content: Any) -> Json:
    meta = {"name": name, **content.pop("metadata", {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, **content}


async def apply(api: RawApi, path: str, config: object, manager: str = "one", **query: str) -> Answer:
    return await api.patch(path, config, APPLY, fieldManager=manager, **query)


def owners(manifest: ReadOnlyJson) -> dict[tuple[str, ...], Json]:
    """Return the fields by manager, operation and, where there is one, subresource."""
    entries = manifest["metadata"].get("managedFields", ())
    named = ("manager", "operation", "subresource")
    return {tuple(each[key] for key in named if key in each): each["fieldsV1"] for each in entries}


@pytest.fixture
def maps(ns: str) -> str:
    return f"/api/v1/namespaces/{ns}/configmaps"


async def test_what_is_applied_is_made_and_owned(api: RawApi, maps: str) -> None:
    answer = await apply(api, f"{maps}/a", config_map(data={"x": "1"}))
    assert answer.status == 201
    (entry,) = answer.json["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["apiVersion"]) == ("one", "Apply", "v1")
    assert (entry["fieldsType"], entry["fieldsV1"]) == ("FieldsV1", {"f:data": {"f:x": {}}})
    again = await apply(api, f"{maps}/a", config_map(data={"x": "1"}))
    assert (again.status, again.json["metadata"]) == (200, answer.json["metadata"])


async def test_fields_of_others_conflict_unless_forced(api: RawApi, maps: str) -> None:
    await apply(api, f"{maps}/a", config_map(data={"x": "1"}))
    await api.patch(f"{maps}/a", {"data": {"y": "1"}}, fieldManager="writer")
    one = await apply(api, f"{maps}/a", config_map(data={"x": "2"}), "two")
    assert (one.status, one.reason, one.causes) == (409, "Conflict", {(".data.x", "FieldManagerConflict")})
    assert one.json["message"] == 'Apply failed with 1 conflict: conflict with "one": .data.x'
    both = await apply(api, f"{maps}/a", config_map(data={"x": "2", "y": "2"}), "two")
    assert both.json["message"] == (
        'Apply failed with 2 conflicts: conflicts with "one":\n- .data.x\nconflicts with "writer" using v1:\n- .data.y'
    )
    forced = await apply(api, f"{maps}/a", config_map(data={"x": "2", "y": "2"}), "two", force="true")
    assert (forced.status, forced.json["data"]) == (200, {"x": "2", "y": "2"})
    assert owners(forced.json) == {("two", "Apply"): {"f:data": {"f:x": {}, "f:y": {}}}}


async def test_the_same_value_is_owned_together(api: RawApi, maps: str) -> None:
    await apply(api, f"{maps}/a", config_map(data={"x": "1"}))
    shared = await apply(api, f"{maps}/a", config_map(data={"x": "1"}), "two")
    assert owners(shared.json) == {(each, "Apply"): {"f:data": {"f:x": {}}} for each in ("one", "two")}
    left = await apply(api, f"{maps}/a", config_map(), "two")
    assert (left.json["data"], owners(left.json)) == ({"x": "1"}, {("one", "Apply"): {"f:data": {"f:x": {}}}})


async def test_what_is_no_longer_applied_goes(api: RawApi, maps: str) -> None:
    labels = {"labels": {"l": "1"}}
    await apply(api, f"{maps}/a", config_map(data={"x": "1", "y": "1"}, metadata=labels))
    await api.patch(f"{maps}/a", {"data": {"z": "1"}}, fieldManager="writer")
    answer = await apply(api, f"{maps}/a", config_map(data={"y": "1"}))
    assert answer.json["data"] == {"y": "1", "z": "1"}
    assert "labels" not in answer.json["metadata"]
    nothing = await apply(api, f"{maps}/a", config_map())
    assert nothing.json["data"] == {"z": "1"}
    assert owners(nothing.json) == {("writer", "Update"): {"f:data": {"f:z": {}}}}


async def test_writers_own_what_they_change(api: RawApi, maps: str) -> None:
    made = await api.post(maps, config_map(data={"x": "1"}), fieldManager="maker")
    assert owners(made.json) == {("maker", "Update"): {"f:data": {".": {}, "f:x": {}}}}
    put = await api.put(f"{maps}/a", config_map(data={"x": "1", "y": "1"}), fieldManager="putter")
    assert owners(put.json) == {
        ("maker", "Update"): {"f:data": {".": {}, "f:x": {}}},
        ("putter", "Update"): {"f:data": {"f:y": {}}},
    }
    gone = await api.patch(f"{maps}/a", {"data": {"x": None}}, fieldManager="putter")
    assert owners(gone.json) == {
        ("maker", "Update"): {"f:data": {}},
        ("putter", "Update"): {"f:data": {"f:y": {}}},
    }


async def test_a_manager_is_named_for_its_program(api: RawApi, maps: str) -> None:
    made = await api.call("POST", maps, config_map(data={"x": "1"}), headers={"User-Agent": "tool/v1 (linux)"})
    assert set(owners(made.json)) == {("tool", "Update")}


async def test_owners_are_let_go_and_taken_up_again(api: RawApi, maps: str) -> None:
    await api.post(maps, config_map(data={"x": "1"}), fieldManager="maker")
    reset = await api.patch(f"{maps}/a", {"metadata": {"managedFields": [{}]}})
    assert owners(reset.json) == {}
    changed = await api.patch(f"{maps}/a", {"data": {"y": "1"}}, fieldManager="writer")
    assert owners(changed.json) == {}
    answer = await apply(api, f"{maps}/a", config_map(data={"x": "2"}))
    assert answer.json["message"].endswith('conflict with "before-first-apply" using v1: .data.x')
    taken = await apply(api, f"{maps}/a", config_map(data={"x": "1"}))
    assert owners(taken.json) == {
        ("one", "Apply"): {"f:data": {"f:x": {}}},
        ("before-first-apply", "Update"): {"f:data": {".": {}, "f:x": {}, "f:y": {}}},
    }


async def test_a_dry_run_stores_nothing(api: RawApi, maps: str) -> None:
    assert (await apply(api, f"{maps}/a", config_map(data={"x": "1"}), dryRun="All")).status == 201
    assert (await api.get(f"{maps}/a")).status == 404


async def test_a_configuration_is_yaml(api: RawApi, maps: str) -> None:
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  x: 2026-01-02\n"
    assert (await apply(api, f"{maps}/a", body)).json["data"] == {"x": "2026-01-02"}


@pytest.mark.parametrize(
    ("config", "query", "status"),
    [
        (config_map(), {"fieldManager": ""}, 422),
        (config_map(), {"fieldManager": "m" * 129}, 422),
        (config_map("other"), {}, 400),
        ({"kind": "ConfigMap"}, {}, 400),
        ({"apiVersion": "v1"}, {}, 400),
        ({"apiVersion": "v2", "kind": "ConfigMap"}, {}, 400),
        ({"apiVersion": "v1", "kind": "Pod"}, {}, 400),
        (b"a: [", {}, 400),
        (b"[]", {}, 400),
        (config_map(metadata={"managedFields": [{"manager": "x"}]}), {}, 400),
        (config_map(metadata={"uid": "x"}), {}, 409),
        (config_map(unknown=1), {}, 500),
        (config_map(data={"x": 1}), {}, 500),
    ],
)
async def test_a_configuration_that_cannot_be_is_refused(
    api: RawApi, maps: str, config: object, query: dict[str, str], status: int
) -> None:
    answer = await api.patch(f"{maps}/a", config, APPLY, **{"fieldManager": "one", **query})
    assert answer.status == status, answer.body
    assert (await api.get(f"{maps}/a")).status == 404


async def test_a_configuration_of_an_old_state_conflicts(api: RawApi, maps: str) -> None:
    await apply(api, f"{maps}/a", config_map(data={"x": "1"}))
    old = config_map(data={"x": "2"}, metadata={"resourceVersion": "1"})
    assert (await apply(api, f"{maps}/a", old)).reason == "Conflict"


async def test_force_is_for_apply_alone(api: RawApi, maps: str) -> None:
    await api.post(maps, config_map())
    assert (await api.patch(f"{maps}/a", {"data": {"x": "1"}}, force="true")).status == 422


def pod(*containers: Json, **meta: Any) -> Json:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", **meta}, "spec": {"containers": [*containers]}}


def container(name: str, **more: Any) -> Json:
    return {"name": name, "image": "i:1", **more}


async def test_lists_are_owned_by_their_keys(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/pods/p"
    ports = [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]
    variables = [{"name": "A", "value": "1"}]
    made = await apply(api, path, pod(container("c", ports=ports, env=variables)))
    assert made.status == 201, made.body
    tcp, udp = 'k:{"containerPort":80,"protocol":"TCP"}', 'k:{"containerPort":80,"protocol":"UDP"}'
    assert owners(made.json) == {
        ("one", "Apply"): {
            "f:spec": {
                "f:containers": {
                    'k:{"name":"c"}': {
                        ".": {},
                        "f:name": {},
                        "f:image": {},
                        "f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}},
                        "f:ports": {
                            tcp: {".": {}, "f:containerPort": {}},
                            udp: {".": {}, "f:containerPort": {}, "f:protocol": {}},
                        },
                    }
                }
            }
        }
    }
    image = await apply(api, path, pod({"name": "c", "image": "i:2"}), "two")
    assert image.json["message"] == (
        'Apply failed with 1 conflict: conflict with "one": .spec.containers[name="c"].image'
    )
    added = await apply(api, path, pod({"name": "c"}, finalizers=["a.io/f"]), "two")
    assert added.json["metadata"]["finalizers"] == ["a.io/f"]
    assert owners(added.json)["two", "Apply"] == {
        "f:metadata": {"f:finalizers": {'v:"a.io/f"': {}}},
        "f:spec": {"f:containers": {'k:{"name":"c"}': {".": {}, "f:name": {}}}},
    }
    assert "finalizers" not in (await apply(api, path, pod({"name": "c"}), "two")).json["metadata"]


BUILT_IN: list[tuple[str, Json]] = [
    ("pods", pod(container("c", resources={"limits": {"cpu": "1"}}), labels={"a": "b"})),
    (
        "services",
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "p"},
            "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]},
        },
    ),
    ("secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "p"}, "stringData": {"a": "b"}}),
    ("serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "p"}}),
]


@pytest.mark.parametrize(("plural", "manifest"), BUILT_IN, ids=[each[0] for each in BUILT_IN])
async def test_a_maker_owns_what_is_filled_in_too(api: RawApi, ns: str, plural: str, manifest: Json) -> None:
    made = await api.post(f"/api/v1/namespaces/{ns}/{plural}", manifest, fieldManager="maker")
    assert owners(made.json) == ({("maker", "Update"): FILLED_IN[plural]} if plural in FILLED_IN else {})


FILLED_IN: dict[str, Json] = {
    "pods": {
        "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
        "f:spec": {
            "f:containers": {
                'k:{"name":"c"}': {
                    ".": {},
                    "f:image": {},
                    "f:imagePullPolicy": {},
                    "f:name": {},
                    "f:resources": {
                        ".": {},
                        "f:limits": {".": {}, "f:cpu": {}},
                        "f:requests": {".": {}, "f:cpu": {}},
                    },
                    "f:terminationMessagePath": {},
                    "f:terminationMessagePolicy": {},
                }
            },
            "f:dnsPolicy": {},
            "f:enableServiceLinks": {},
            "f:restartPolicy": {},
            "f:schedulerName": {},
            "f:securityContext": {},
            "f:terminationGracePeriodSeconds": {},
        },
    },
    "services": {
        "f:spec": {
            "f:internalTrafficPolicy": {},
            "f:ports": {
                ".": {},
                'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:protocol": {}, "f:targetPort": {}},
            },
            "f:selector": {},
            "f:sessionAffinity": {},
            "f:type": {},
        }
    },
    "secrets": {"f:data": {".": {}, "f:a": {}}, "f:type": {}},
}


def widget(**spec: Any) -> Json:
    return {"apiVersion": "conformance.rayfleet.dev/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}


async def test_a_custom_object_is_applied_by_its_schema(api: RawApi, widgets: str) -> None:
    path = f"{widgets}/w"
    made = await apply(api, path, widget(tags=["a"], ports=[{"name": "http", "port": 80}], closed={"a": 1}))
    assert made.status == 201, made.body
    assert owners(made.json) == {
        ("one", "Apply"): {
            "f:spec": {
                "f:closed": {"f:a": {}},
                "f:ports": {'k:{"name":"http"}': {".": {}, "f:name": {}, "f:port": {}}},
                "f:tags": {'v:"a"': {}},
            }
        }
    }
    assert made.json["spec"]["replicas"] == 1
    more = widget(tags=["b"], ports=[{"name": "admin"}, {"name": "http", "protocol": "UDP"}])
    both = await apply(api, path, more, "two", force="true")
    assert both.json["spec"]["tags"] == ["a", "b"]
    assert {each["name"]: each.get("port") for each in both.json["spec"]["ports"]} == {"http": 80, "admin": None}
    less = await apply(api, path, widget(tags=["a"]))
    assert (less.json["spec"]["tags"], "closed" in less.json["spec"]) == (["a", "b"], False)
    assert [each["name"] for each in less.json["spec"]["ports"]] == ["admin", "http"]
    assert less.json["metadata"]["generation"] == 3
    assert (await apply(api, path, widget(nothing=1))).status == 500


async def test_status_and_scale_have_owners_of_their_own(api: RawApi, widgets: str) -> None:
    path = f"{widgets}/w"
    await apply(api, path, widget(code="x", replicas=1) | {"status": {"phase": "Lost"}})
    status = widget(code="y") | {"status": {"phase": "Running"}}
    answer = await apply(api, f"{path}/status", status, "two")
    assert (answer.status, answer.json["status"], answer.json["spec"]["code"]) == (200, {"phase": "Running"}, "x")
    assert owners(answer.json) == {
        ("one", "Apply"): {"f:spec": {"f:code": {}, "f:replicas": {}}},
        ("two", "Apply", "status"): {"f:status": {"f:phase": {}}},
    }
    written = await api.patch(f"{path}/status", {"status": {"replicas": 2}}, fieldManager="writer")
    assert owners(written.json)["writer", "Update", "status"] == {"f:status": {"f:replicas": {}}}
    await api.patch(f"{path}/scale", {"spec": {"replicas": 3}}, fieldManager="scaler")
    shown = (await api.get(path)).json
    assert owners(shown)["scaler", "Update", "scale"] == {"f:spec": {"f:replicas": {}}}
    assert owners(shown)["one", "Apply"] == {"f:spec": {"f:code": {}}}
