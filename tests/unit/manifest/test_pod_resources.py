"""Requests and limits that no API server takes, and the nearest that one takes."""

import pytest

from rayfleet.manifest.pod_resources import resource_errors
from rayfleet.model.json import Json

GPU = "nvidia.com/gpu"


def errors(limits: Json | None = None, requests: Json | None = None) -> list[str]:
    container = {"resources": {"limits": limits, "requests": requests}}
    return [str(error).removeprefix("c.resources.") for error in resource_errors(container, "c")]


@pytest.mark.parametrize(
    ("limits", "requests", "expected"),
    [
        ({GPU: 0.5}, {}, f'limits["{GPU}"]: 0.5 is no whole number: Kubernetes does not divide accelerators'),
        ({GPU: "1500m"}, {}, f'limits["{GPU}"]: "1500m" is no whole number: Kubernetes does not divide accelerators'),
        ({}, {GPU: 1}, f'limits["{GPU}"]: limit and request must be the same, they are nothing and 1'),
        ({GPU: 2}, {GPU: 1}, f'limits["{GPU}"]: limit and request must be the same, they are 2 and 1'),
        ({"cpu": 1}, {"cpu": "1001m"}, "requests.cpu: 1001m is more than the limit, 1"),
        ({"memory": "-1Gi"}, {}, 'limits.memory: "-1Gi" must not be negative'),
        ({"memory": "8 GB"}, {}, 'limits.memory: "8 GB" is no quantity (such as 500m, 2 or 8Gi)'),
        ({"cpu": True}, {}, "limits.cpu: true is no quantity (such as 500m, 2 or 8Gi)"),
        ({"gpus": 1}, {}, "limits.gpus: is no resource of a container (accelerators have a domain, as nvidia.com/gpu)"),
    ],
)
def test_what_a_server_would_refuse_is_said(limits: Json, requests: Json, expected: str) -> None:
    assert errors(limits, requests) == [expected]


@pytest.mark.parametrize(
    ("limits", "requests"),
    [
        (None, None),
        ({GPU: 1}, {}),
        ({GPU: "2"}, {GPU: 2}),
        ({GPU: "2k"}, {GPU: "2000"}),
        ({}, {"cpu": "500m", "memory": "8Gi", "ephemeral-storage": 1}),
        ({"cpu": 1}, {"cpu": "1000m"}),
        ({"hugepages-2Mi": "64Mi"}, {}),
        ({"cpu": 0.5}, {}),
    ],
)
def test_what_a_server_takes_is_taken(limits: Json | None, requests: Json | None) -> None:
    assert errors(limits, requests) == []
