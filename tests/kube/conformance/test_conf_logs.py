"""The query of a pod's log; what is in one is the node's business."""

import pytest

from rayfleet.testing.raw_api import RawApi


async def test_a_pods_log_needs_the_pod(api: RawApi, ns: str) -> None:
    answer = await api.get(f"/api/v1/namespaces/{ns}/pods/none/log")
    assert (answer.status, answer.reason) == (404, "NotFound")


async def test_a_log_of_an_unknown_container_is_refused(api: RawApi, ns: str) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "b"}]}}
    assert (await api.post(f"/api/v1/namespaces/{ns}/pods", pod)).status == 201
    answer = await api.get(f"/api/v1/namespaces/{ns}/pods/p/log", container="other")
    assert (answer.status, answer.reason) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"tailLines": "-1"}, 422),
        ({"limitBytes": "0"}, 422),
        ({"sinceSeconds": "0"}, 422),
        ({"sinceSeconds": "1", "sinceTime": "2026-11-25T12:00:00Z"}, 422),
        ({"sinceTime": "yesterday"}, 400),
        ({"tailLines": "few"}, 400),
        ({"sinceSeconds": "5", "timestamps": "true"}, 404),
    ],
)
async def test_options_of_a_log_come_before_its_pod(api: RawApi, ns: str, query: dict[str, str], status: int) -> None:
    answer = await api.get(f"/api/v1/namespaces/{ns}/pods/none/log", **query)
    assert answer.status == status, answer.body
