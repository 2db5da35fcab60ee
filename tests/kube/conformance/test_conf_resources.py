"""Resources that a container may and may not ask for."""

import pytest

from rayfleet.model.json import Json
from rayfleet.testing.raw_api import RawApi

_AT = "spec.containers[0].resources"


@pytest.mark.parametrize(
    ("resources", "causes"),
    [
        ({"limits": {"nvidia.com/gpu": 0.5}}, {("limits[nvidia.com/gpu]", "FieldValueInvalid")}),
        ({"limits": {"cpu": 1}, "requests": {"cpu": 2}}, {("requests", "FieldValueInvalid")}),
        ({"limits": {"cpu": -1}}, {("limits[cpu]", "FieldValueInvalid")}),
        ({"limits": {"gpus": 1}}, {("limits[gpus]", "FieldValueInvalid")}),
        ({"limits": {"pods": 1}}, {("limits[pods]", "FieldValueInvalid")}),
        ({"limits": {"a b": 1}}, {("limits[a b]", "FieldValueInvalid")}),
        ({"limits": {"requests.a.io/gpu": 1}}, {("limits[requests.a.io/gpu]", "FieldValueInvalid")}),
        ({"requests": {"nvidia.com/gpu": 1}}, {("limits", "FieldValueRequired")}),
        ({"limits": {"a.io/gpu": 2}, "requests": {"a.io/gpu": 1}}, {("requests", "FieldValueInvalid")}),
        ({"limits": {"hugepages-2Mi": "4Mi"}}, {("", "FieldValueForbidden")}),
        ({"limits": {"cpu": 1, "hugepages-2Mi": "1Mi"}}, {("limits[hugepages-2Mi]", "FieldValueInvalid")}),
    ],
)
async def test_impossible_resources_are_refused(
    api: RawApi, ns: str, resources: Json, causes: set[tuple[str, str]]
) -> None:
    answer = await api.post(f"/api/v1/namespaces/{ns}/pods", resourceful(resources))
    assert answer.status == 422
    expected = {(f"{_AT}.{field}" if field else _AT, reason) for field, reason in causes}
    repeated = {(field.replace("limits[", "requests["), reason) for field, reason in expected}
    assert expected <= answer.causes <= expected | repeated  # requests are the limits where they are not given


@pytest.mark.parametrize(
    "limits",
    [{"nvidia.com/gpu": "1000m"}, {"cpu": "500m", "memory": "1Gi"}, {"cpu": 1, "hugepages-2Mi": "4Mi"}, {"cpu": 0}],
)
async def test_possible_resources_are_taken(api: RawApi, ns: str, limits: Json) -> None:
    assert (await api.post(f"/api/v1/namespaces/{ns}/pods", resourceful({"limits": limits}))).status == 201


def resourceful(resources: Json) -> Json:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}}
