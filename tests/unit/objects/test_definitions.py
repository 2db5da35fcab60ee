"""Which kind a definition serves."""

from typing import Any

import pytest

from rayfleet.local.garbage.kinds import further_kinds
from rayfleet.model.json import Json
from rayfleet.model.resources import RAY_CLUSTERS, ResourceType
from rayfleet.objects.definitions import served_kind

GADGETS = ResourceType(group="a.test", version="v2", plural="gadgets", kind="Gadget")


def definition(*versions: Json, scope: str = "Namespaced", established: str = "True", **of: Any) -> Json:
    spec = {"group": "a.test", "scope": scope, "names": {"plural": "gadgets", "kind": "Gadget"}, "versions": versions}
    return {
        "spec": {**spec, "versions": list(versions), **of},
        "status": {"conditions": [{"type": "Established", "status": established}]},
    }


V1 = {"name": "v1", "served": True, "storage": False}
V2 = {"name": "v2", "served": True, "storage": True}


def test_the_stored_version_is_read() -> None:
    assert served_kind(definition(V1, V2)) == GADGETS


def test_another_is_read_while_the_stored_one_is_not_served() -> None:
    kind = served_kind(definition(V1, {**V2, "served": False}, scope="Cluster"))
    assert kind == ResourceType(group="a.test", version="v1", plural="gadgets", kind="Gadget", is_namespaced=False)


@pytest.mark.parametrize("raw", [definition({**V2, "served": False}), definition(V2, established="False"), {}])
def test_nothing_is_read_of_a_kind_that_is_not_served(raw: Json) -> None:
    assert served_kind(raw) is None


def test_the_collector_follows_what_it_does_not_have_from_the_start() -> None:
    ours = definition(V2, group=RAY_CLUSTERS.group, names={"plural": "rayclusters", "kind": "RayCluster"})
    assert further_kinds([ours, definition(V2), {}]) == {GADGETS}
