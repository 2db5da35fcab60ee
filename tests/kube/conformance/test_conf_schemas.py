"""The schemas that the embedded server goes by are those that a real one publishes."""

import pytest

from rayfleet.local.apiserver.kinds.schemas import KINDS, load_schemas
from rayfleet.testing.raw_api import RawApi

LEAST = {"apis/authentication.k8s.io/v1": 7}  # a group with one kind of its own


@pytest.mark.parametrize("path", [path for path in KINDS if path != "apis/autoscaling/v1"])
async def test_published_schemas_are_the_kept_ones(api: RawApi, path: str) -> None:
    kept = load_schemas().by_name
    published = (await api.get(f"/openapi/v3/{path}")).json["components"]["schemas"]
    shared = published.keys() & kept.keys()
    assert len(shared) > LEAST.get(path, 10)
    for name in shared:
        kinds = "x-kubernetes-group-version-kind"  # of shared types the real server lists all groups that know them
        assert {**published[name], kinds: None} == {**kept[name], kinds: None}, name
