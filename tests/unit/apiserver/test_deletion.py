"""What a deletion makes of an object, decided without a storage."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from rayfleet.local.apiserver.grammar.refusal import Refusal
from rayfleet.local.apiserver.kinds.builtin.catalogue import builtin_kinds
from rayfleet.local.apiserver.kinds.kind import Kind
from rayfleet.local.apiserver.kinds.schemas import load_schemas
from rayfleet.local.apiserver.writes.delete_options import DeleteOptions
from rayfleet.local.apiserver.writes.grace import Grace, grace_of, is_waited_for, mark, remaining_finalizers
from rayfleet.local.apiserver.writes.metadata import should_go
from rayfleet.model.json import Json, ReadOnlyJson

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KINDS: Mapping[str, Kind] = {kind.kind: kind for kind in builtin_kinds(load_schemas(), list)}
POD = KINDS["Pod"]


def pod(*, node: str = "n", given: int | None = None, ago: int = 0) -> Json:
    """Return a pod with 30 s of grace, being deleted for ``ago`` seconds when it was ``given`` some."""
    meta: Json = {"name": "p", "generation": 1}
    if given is not None:
        end = NOW - timedelta(seconds=ago) + timedelta(seconds=given)
        meta |= {"deletionTimestamp": end.isoformat(), "deletionGracePeriodSeconds": given}
    return {"metadata": meta, "spec": {"nodeName": node, "terminationGracePeriodSeconds": 30}}


def seconds_from_now(seconds: int) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("manifest", "asked", "grace"),
    [
        (pod(), None, Grace(seconds=30, end=seconds_from_now(30))),
        (pod(), 5, Grace(seconds=5, end=seconds_from_now(5))),
        (pod(), 0, Grace(seconds=0, end=NOW)),
        (pod(node=""), 50, Grace(seconds=0, end=NOW)),  # nobody runs it
        (pod(given=20, ago=3), 5, Grace(seconds=5, end=seconds_from_now(2))),
        (pod(given=20, ago=9), 5, Grace(seconds=1, end=NOW)),  # its 5 s were over long ago
        (pod(given=20), 0, Grace(seconds=0, end=NOW)),
        (pod(given=0), None, None),
    ],
)
def test_a_pod_has_the_time_that_it_is_given(manifest: ReadOnlyJson, asked: int | None, grace: Grace | None) -> None:
    assert grace_of(POD, manifest, DeleteOptions(grace_seconds=asked), NOW) == grace


@pytest.mark.parametrize(
    ("manifest", "asked", "is_waiting"),
    [
        (pod(), None, False),
        (pod(given=20), None, True),
        (pod(given=20), 20, True),
        (pod(given=20), 50, True),
        (pod(given=20), 19, False),
        (pod(given=0), None, False),
    ],
)
def test_a_second_deletion_only_shortens_the_wait(manifest: ReadOnlyJson, asked: int | None, is_waiting: bool) -> None:
    assert is_waited_for(POD, manifest, DeleteOptions(grace_seconds=asked)) is is_waiting


def test_other_kinds_have_no_grace() -> None:
    options = DeleteOptions(grace_seconds=30)
    manifest: Json = {"metadata": {"name": "a"}}
    assert grace_of(KINDS["ConfigMap"], manifest, options, NOW) is None
    assert not is_waited_for(KINDS["ConfigMap"], manifest, options)


def test_being_deleted_counts_as_a_generation_once() -> None:
    manifest = pod()
    mark(manifest, Grace(seconds=30, end=seconds_from_now(30)), [], NOW)
    assert manifest["metadata"] == {
        "name": "p",
        "generation": 2,
        "deletionTimestamp": "2026-01-02T03:04:35Z",
        "deletionGracePeriodSeconds": 30,
    }
    mark(manifest, Grace(seconds=5, end=seconds_from_now(5)), ["x.io/a"], NOW)
    assert manifest["metadata"] == {
        "name": "p",
        "generation": 2,
        "deletionTimestamp": "2026-01-02T03:04:10Z",
        "deletionGracePeriodSeconds": 5,
        "finalizers": ["x.io/a"],
    }


def test_an_object_without_grace_is_marked_now() -> None:
    manifest: Json = {"metadata": {"name": "a", "deletionTimestamp": "2026-01-02T03:05:00Z"}}
    mark(manifest, None, ["x.io/a"], NOW)
    assert manifest["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:05Z"
    mark(manifest, None, ["x.io/a"], seconds_from_now(9))
    assert manifest["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:05Z", "the first mark stays"
    assert manifest["metadata"]["deletionGracePeriodSeconds"] == 0


@pytest.mark.parametrize(
    ("finalizers", "policy", "remaining"),
    [
        ([], "", []),
        (["x.io/a", "orphan"], "", ["x.io/a", "orphan"]),
        (["orphan", "x.io/a"], "Orphan", ["orphan", "x.io/a"]),
        (["x.io/a"], "Foreground", ["x.io/a", "foregroundDeletion"]),
        (["foregroundDeletion"], "Orphan", ["orphan"]),
        (["foregroundDeletion", "x.io/a"], "Background", ["x.io/a"]),
    ],
)
def test_the_policy_decides_the_collectors_finalizers(finalizers: list[str], policy: str, remaining: list[str]) -> None:
    assert remaining_finalizers(finalizers, policy) == remaining


@pytest.mark.parametrize(("finalizers", "goes"), [(["kubernetes"], False), ([], True)])
def test_a_namespace_is_held_by_finalizers_of_its_own(finalizers: list[str], goes: bool) -> None:
    meta = {"name": "a", "deletionTimestamp": "2026-01-02T03:04:05Z"}
    assert should_go(KINDS["Namespace"], {"metadata": meta, "spec": {"finalizers": finalizers}}) is goes


def test_a_namespace_and_a_definition_begin_to_go_in_their_own_way() -> None:
    def begun(kind: str, name: str) -> Json:
        marked = KINDS[kind].rules.on_delete({"metadata": {"name": name}, "spec": {}}, NOW)
        assert marked is not None
        assert marked["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:05Z"
        return marked

    assert begun("Namespace", "a")["status"]["phase"] == "Terminating"
    definition = begun("CustomResourceDefinition", "a.b.c")
    assert definition["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert [each["type"] for each in definition["status"]["conditions"]] == ["Terminating"]
    assert POD.rules.on_delete(pod(), NOW) is None
    with pytest.raises(Refusal, match="this namespace may not be deleted"):
        begun("Namespace", "default")
