"""Tables of the built-in kinds."""

from typing import Any

import pytest

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.testing.raw_api import TABLE, RawApi

TABLES: dict[str, tuple[str, Json, list[str], list[Any]]] = {
    "secrets": ("api/v1", {"data": {"a": "eA=="}}, ["Name", "Type", "Data", "Age"], ["x", "Opaque", 1]),
    "services": (
        "api/v1",
        {"spec": {"clusterIP": "None", "ports": [{"port": 80}], "selector": {"a": "b"}}},
        ["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "Selector"],
        ["x", "ClusterIP", "None", "<none>", "80/TCP"],
    ),
    "serviceaccounts": ("api/v1", {}, ["Name", "Age"], ["x"]),
    "leases": (
        "apis/coordination.k8s.io/v1",
        {"spec": {"holderIdentity": "me"}},
        ["Name", "Holder", "Age"],
        ["x", "me"],
    ),
    "endpointslices": (
        "apis/discovery.k8s.io/v1",
        {"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.1.1"]}], "ports": [{"port": 80}]},
        ["Name", "AddressType", "Ports", "Endpoints", "Age"],
        ["x", "IPv4", "80", "10.1.1.1"],
    ),
    "poddisruptionbudgets": (
        "apis/policy/v1",
        {"spec": {"minAvailable": 1}},
        ["Name", "Min Available", "Max Unavailable", "Allowed Disruptions", "Age"],
        ["x", "1", "N/A", 0],
    ),
}


@pytest.mark.parametrize("plural", TABLES.keys())
async def test_a_built_in_table(api: RawApi, ns: str, plural: str) -> None:
    base, body, columns, cells = TABLES[plural]
    path = f"/{base}/namespaces/{ns}/{plural}"
    await api.post(path, {"metadata": {"name": "x"}, **body})
    found = (await api.get(f"{path}/x", accept=TABLE)).json
    assert [each["name"] for each in found["columnDefinitions"]] == columns
    shown = found["rows"][0]["cells"][: len(cells)]
    assert [str(each) for each in shown] == [str(each) for each in cells]


STATUSES: dict[str, tuple[Json, list[Any]]] = {
    "pending": ({}, ["p", "0/1", "Pending", "0"]),
    "running": (
        {
            "phase": "Running",
            "podIP": "10.0.0.9",
            "podIPs": [{"ip": "10.0.0.9"}],
            "containerStatuses": [
                {"name": "c", "ready": True, "restartCount": 2, "image": "i", "imageID": "", "state": {"running": {}}}
            ],
        },
        ["p", "1/1", "Running", "2"],
    ),
    "waiting": (
        {
            "phase": "Pending",
            "containerStatuses": [
                {
                    "name": "c",
                    "ready": False,
                    "restartCount": 0,
                    "image": "i",
                    "imageID": "",
                    "state": {"waiting": {"reason": "ErrImagePull"}},
                }
            ],
        },
        ["p", "0/1", "ErrImagePull", "0"],
    ),
    "failed": (
        {
            "phase": "Failed",
            "containerStatuses": [
                {
                    "name": "c",
                    "ready": False,
                    "restartCount": 0,
                    "image": "i",
                    "imageID": "",
                    "state": {"terminated": {"exitCode": 3}},
                }
            ],
        },
        ["p", "0/1", "ExitCode:3", "0"],
    ),
}


@pytest.mark.parametrize("case", STATUSES.values(), ids=STATUSES.keys())
async def test_the_table_of_pods_sums_up_their_state(
    api: RawApi, ns: str, case: tuple[ReadOnlyJson, list[Any]]
) -> None:
    status, cells = case
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    assert (await api.post(f"/api/v1/namespaces/{ns}/pods", pod)).status == 201
    path = f"/api/v1/namespaces/{ns}/pods/p"
    if status:
        assert (await api.patch(f"{path}/status", {"status": status})).status == 200
    found = (await api.get(path, accept=TABLE)).json
    names = [each["name"] for each in found["columnDefinitions"]]
    assert names == ["Name", "Ready", "Status", "Restarts", "Age", "IP", "Node", "Nominated Node", "Readiness Gates"]
    assert [str(each) for each in found["rows"][0]["cells"][:4]] == cells
