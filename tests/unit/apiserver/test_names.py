"""Metadata: names, labels, what only the server sets, and the wishes of a deletion."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from rayfleet.local.apiserver.grammar.label_grammar import label_key_problem
from rayfleet.local.apiserver.grammar.names import (
    changed_metadata_problems,
    data_key_problem,
    label_name_problem,
    metadata_problems,
    service_name_problem,
    subdomain_problem,
)
from rayfleet.local.apiserver.grammar.refusal import Refusal
from rayfleet.local.apiserver.kinds.builtin.catalogue import builtin_kinds
from rayfleet.local.apiserver.kinds.kind import Kind
from rayfleet.local.apiserver.kinds.schemas import load_schemas
from rayfleet.local.apiserver.writes.delete_options import DeleteOptions, decode_delete_options
from rayfleet.local.apiserver.writes.metadata import (
    check_identity,
    check_update,
    keep_servers_own,
    placed,
    raise_generation,
    stamp_new,
)
from rayfleet.model.json import Json, ReadOnlyJson

NOW = datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=UTC)


@pytest.fixture(scope="module")
def kinds() -> Mapping[str, Kind]:
    return {kind.kind: kind for kind in builtin_kinds(load_schemas(), lambda: ())}


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (subdomain_problem, ["a", "a.b-c.d", "a" * 253], ["", "A", "a..b", "-a", "a" * 254, "a\n"]),
        (label_name_problem, ["a", "1a"], ["a.b", "a" * 64, "a-"]),
        (service_name_problem, ["a-1"], ["1a", "a.b"]),
        (label_key_problem, ["a", "x.io/A_b.c"], ["", "/a", "X.io/a", "a/", "_a", "a" * 64]),
        (data_key_problem, ["a.B_c-d"], ["", "a/b", ".", "..", "a" * 254]),
    ],
)
def test_a_name_is_right_or_told_wrong(check: Callable[[str], str], right: list[str], wrong: list[str]) -> None:
    assert {name: check(name) for name in right if check(name)} == {}
    assert [name for name in wrong if not check(name)] == []


@pytest.mark.parametrize(
    ("meta", "fields"),
    [
        ({"name": "a"}, []),
        ({}, ["metadata.name"]),
        ({"name": "A"}, ["metadata.name"]),
        ({"name": "a-x", "generateName": "a-"}, []),
        ({"name": "a", "generateName": "A-"}, ["metadata.generateName"]),
        ({"name": "a", "labels": {"-k": "-v"}}, ["metadata.labels", "metadata.labels"]),
        ({"name": "a", "annotations": {"-k": "anything at all"}}, ["metadata.annotations"]),
        ({"name": "a", "annotations": {"k": "x" * 262144}}, ["metadata.annotations"]),
        ({"name": "a", "finalizers": ["x.io/a", "orphan", "mine"]}, ["metadata.finalizers[2]"]),
        (
            {"name": "a", "ownerReferences": [{"kind": "K", "name": "n"}]},
            ["metadata.ownerReferences.apiVersion", "metadata.ownerReferences.uid"],
        ),
    ],
)
def test_wrong_metadata_is_told_by_its_fields(meta: ReadOnlyJson, fields: list[str]) -> None:
    causes = metadata_problems(meta, subdomain_problem, is_namespaced=True)
    assert [cause.field for cause in causes] == fields


def test_two_controllers_are_one_too_many() -> None:
    owner = {"apiVersion": "v1", "kind": "K", "uid": "1", "controller": True}
    meta = {"name": "a", "ownerReferences": [owner | {"name": "x"}, owner | {"name": "y"}]}
    (cause,) = metadata_problems(meta, subdomain_problem, is_namespaced=True)
    assert 'Found "true" in references for x and y' in cause.message


def test_an_object_that_goes_takes_no_new_finalizer() -> None:
    old = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x.io/a"]}
    assert changed_metadata_problems(old | {"finalizers": []}, old) == []
    (cause,) = changed_metadata_problems(old | {"finalizers": ["x.io/a", "x.io/b"]}, old)
    assert cause.reason == "FieldValueForbidden"
    assert 'found new finalizers []string{"x.io/b"}' in cause.message


def test_a_new_object_gets_what_only_the_server_gives(kinds: Mapping[str, Kind]) -> None:
    said = {"generateName": "a-", "uid": "mine", "resourceVersion": "7", "selfLink": "/a"}
    manifest = placed(kinds["Pod"], {"spec": {}, "metadata": said}, "n")
    stamp_new(kinds["Pod"], manifest, uid="u", now=NOW, suffix="xyz12")
    meta = {"generateName": "a-", "namespace": "n", "name": "a-xyz12", "uid": "u"}
    meta |= {"creationTimestamp": "2026-01-02T03:04:05Z"}
    found = manifest["metadata"]
    found.pop("generation", None)
    assert manifest == {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {}}


def test_a_generated_name_is_63_letters_at_most(kinds: Mapping[str, Kind]) -> None:
    manifest: Json = {"metadata": {"generateName": "a" * 80}}
    stamp_new(kinds["Pod"], manifest, uid="u", now=NOW, suffix="xyz12")
    assert manifest["metadata"]["name"] == "a" * 58 + "xyz12"


def test_an_object_of_another_kind_or_namespace_is_refused(kinds: Mapping[str, Kind]) -> None:
    check_identity(kinds["Pod"], {})
    for action in (
        lambda: check_identity(kinds["Pod"], {"kind": "Secret"}),
        lambda: placed(kinds["Pod"], {"metadata": {"namespace": "a"}}, "b"),
    ):
        with pytest.raises(Refusal) as refused:
            action()
        assert refused.value.code == 400


@pytest.mark.parametrize(
    ("said", "code"),
    [({"resourceVersion": "5"}, None), ({}, None), ({"resourceVersion": "4"}, 409), ({"uid": "other"}, 409)],
)
def test_an_update_of_another_state_is_a_conflict(
    kinds: Mapping[str, Kind], said: ReadOnlyJson, code: int | None
) -> None:
    old = {"metadata": {"name": "a", "uid": "u", "resourceVersion": "5"}}
    if code is None:
        check_update(kinds["ConfigMap"], {"metadata": said}, old)
        return
    with pytest.raises(Refusal) as refused:
        check_update(kinds["ConfigMap"], {"metadata": said}, old)
    assert refused.value.code == code


def test_what_the_server_set_stays(kinds: Mapping[str, Kind]) -> None:
    old: Json = {
        "metadata": {"name": "a", "uid": "u", "generation": 3, "creationTimestamp": "t"},
        "spec": {"a": 1},
    }
    new: Json = {
        "metadata": {"uid": "x", "generation": 9, "deletionTimestamp": "d", "labels": {}},
        "spec": {"a": 1},
    }
    keep_servers_own(new, old)
    assert new["metadata"] == {**old["metadata"], "labels": {}}
    crd = kinds["CustomResourceDefinition"]
    raise_generation(crd, new, old)
    assert new["metadata"]["generation"] == 3
    new["spec"] = {"a": 2}
    raise_generation(crd, new, old)
    assert new["metadata"]["generation"] == 4


@pytest.mark.parametrize(
    ("body", "query", "options"),
    [
        ({}, {}, DeleteOptions()),
        (
            {},
            {"gracePeriodSeconds": "0", "propagationPolicy": "Foreground"},
            DeleteOptions(grace_seconds=0, policy="Foreground"),
        ),
        ({"gracePeriodSeconds": 5}, {"gracePeriodSeconds": "9"}, DeleteOptions(grace_seconds=5)),
        ({"orphanDependents": True}, {}, DeleteOptions(policy="Orphan")),
        ({"orphanDependents": False}, {}, DeleteOptions(policy="Background")),
        ({"preconditions": {"uid": "u", "resourceVersion": "3"}}, {}, DeleteOptions(uid="u", version="3")),
        ({}, {"dryRun": "All"}, DeleteOptions(is_dry_run=True)),
        ({"dryRun": ["All"]}, {}, DeleteOptions(is_dry_run=True)),
    ],
)
def test_the_wishes_of_a_deletion_are_read(body: ReadOnlyJson, query: dict[str, str], options: DeleteOptions) -> None:
    assert decode_delete_options(body, query) == options


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"propagationPolicy": "Sideways"}, 422),
        ({"propagationPolicy": "Orphan", "orphanDependents": True}, 422),
        ({"dryRun": ["Some"]}, 422),
        ({"gracePeriodSeconds": "soon"}, 400),
    ],
)
def test_a_wrong_wish_is_refused(body: dict[str, Any], code: int) -> None:
    with pytest.raises(Refusal) as refused:
        decode_delete_options(body, {})
    assert refused.value.code == code
