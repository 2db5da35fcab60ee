"""Patches: what kube-apiserver made of an object (``tests/data/apiserver/patch-cases.json``) is what we make of it."""

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from rayfleet.local.apiserver.grammar.refusal import Refusal
from rayfleet.local.apiserver.kinds.builtin.catalogue import builtin_kinds
from rayfleet.local.apiserver.kinds.kind import Kind
from rayfleet.local.apiserver.kinds.schemas import load_schemas
from rayfleet.local.apiserver.writes.json_patch import json_patched, merge_patched
from rayfleet.local.apiserver.writes.strategic_patch import strategic_patched
from rayfleet.model.json import Json, ReadOnlyJson

RECORDED = json.loads((Path(__file__).parents[2] / "data" / "apiserver" / "patch-cases.json").read_text("utf-8"))
KINDS = {"cm": "ConfigMap", "pod": "Pod", "svc": "Service", "node": "Node", "sa": "ServiceAccount"}


@pytest.fixture(scope="module")
def kinds() -> Mapping[str, Kind]:
    return {kind.kind: kind for kind in builtin_kinds(load_schemas(), lambda: ())}


def touched(obj: ReadOnlyJson) -> Json:
    """Return of an object what the recorded patches touch, without what a server adds."""
    meta, spec = obj.get("metadata", {}), obj.get("spec", {})
    found = {name: meta.get(name) for name in ("labels", "annotations", "finalizers", "ownerReferences")}
    found |= {name: obj.get(name) for name in ("data", "secrets", "imagePullSecrets")}
    found |= {name: spec.get(name) for name in ("selector", "tolerations", "taints")}
    found["ports"] = [[each.get("port"), each.get("name", "")] for each in spec.get("ports") or ()]
    found["containers"] = [[each["name"], each["image"]] for each in spec.get("containers") or ()]
    return {name: value for name, value in found.items() if value}


def patched(kinds: Mapping[str, Kind], case: ReadOnlyJson, obj: ReadOnlyJson) -> Json:
    forms: Mapping[str, Callable[[], Any]] = {
        "json": lambda: json_patched(obj, case["patch"]),
        "merge": lambda: merge_patched(obj, case["patch"]),
        "smp": lambda: strategic_patched(obj, case["patch"], kinds[KINDS[case["kind"]]].fields.merge_keys),
    }
    found: Json = forms[case["form"]]()
    return found


@pytest.mark.parametrize(
    "case", RECORDED["cases"], ids=lambda case: f"{case['kind']}-{case['form']}-{json.dumps(case['patch'])[:60]}"
)
def test_an_object_is_patched_as_by_the_real_server(kinds: Mapping[str, Kind], case: ReadOnlyJson) -> None:
    obj = RECORDED["objects"][case["kind"]]
    before, patch = copy.deepcopy(obj), copy.deepcopy(case["patch"])
    if "result" in case:
        assert touched(patched(kinds, case, obj)) == case["result"]
    else:
        with pytest.raises(Refusal) as refused:
            patched(kinds, case, obj)
        # The real server answers a strategic patch that it cannot apply with 500; it is the client's fault, so: 400.
        assert refused.value.code == (400 if case["code"] == 500 else case["code"])
    assert (obj, case["patch"]) == (before, patch), "inputs are read-only"


def test_the_result_shares_nothing_with_its_inputs() -> None:
    obj: Json = {"a": {"b": [1]}}
    operations: list[Json] = [
        {"op": "add", "path": "/c", "value": {"d": []}},
        {"op": "copy", "from": "/a", "path": "/e"},
    ]
    result = json_patched(obj, operations)
    result["c"]["d"].append(1)
    result["e"]["b"].append(2)
    assert operations[0]["value"] == {"d": []}
    assert (obj, result["a"]) == ({"a": {"b": [1]}}, {"b": [1]})
    merged = merge_patched(obj, patch := {"f": {"g": [1]}})
    merged["f"]["g"].append(2)
    assert patch == {"f": {"g": [1]}}


@pytest.mark.parametrize("operations", [{"op": "add"}, "x", None, [1]])
def test_what_is_no_list_of_operations_is_refused(operations: object) -> None:
    with pytest.raises(Refusal) as refused:
        json_patched({}, operations)
    assert refused.value.code == 400


def test_true_is_not_one() -> None:
    with pytest.raises(Refusal) as refused:
        json_patched({"a": True}, [{"op": "test", "path": "/a", "value": 1}])
    assert refused.value.code == 422


@pytest.mark.parametrize(
    ("patch", "result"),
    [  # RFC 7386, appendix A
        ({"a": "c"}, {"a": "c"}),
        ({"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": None}, {}),
        ({"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        (["c"], ["c"]),
        (None, None),
    ],
)
def test_a_merge_patch_merges_as_its_rfc_says(patch: Any, result: Any) -> None:
    assert merge_patched({"a": "b"}, patch) == result


def test_env_and_mounts_merge_by_their_own_keys(kinds: Mapping[str, Kind]) -> None:
    container = {"name": "a", "env": [{"name": "E", "value": "1"}, {"name": "F", "value": "2"}]}
    mounts = [{"name": "v", "mountPath": "/v"}]
    pod: Json = {"spec": {"containers": [container | {"volumeMounts": mounts, "args": ["x", "y"]}]}}
    change = {
        "name": "a",
        "env": [{"name": "F", "value": "3"}],
        "volumeMounts": [{"mountPath": "/w", "name": "v"}],
        "args": ["z"],
    }
    result = strategic_patched(pod, {"spec": {"containers": [change]}}, kinds["Pod"].fields.merge_keys)
    (found,) = result["spec"]["containers"]
    assert found["env"] == [{"name": "E", "value": "1"}, {"name": "F", "value": "3"}]
    assert [mount["mountPath"] for mount in found["volumeMounts"]] == ["/w", "/v"]
    assert found["args"] == ["z"]


def test_conditions_merge_by_type(kinds: Mapping[str, Kind]) -> None:
    pod: Json = {"status": {"conditions": [{"type": "A", "status": "True"}, {"type": "B", "status": "True"}]}}
    patch = {"status": {"conditions": [{"type": "B", "status": "False"}]}}
    result = strategic_patched(pod, patch, kinds["Pod"].fields.merge_keys)
    assert result["status"]["conditions"] == [{"type": "A", "status": "True"}, {"type": "B", "status": "False"}]
