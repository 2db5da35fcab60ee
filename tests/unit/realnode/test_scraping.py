"""What a real Prometheus is told of the chart's monitors, and what it is given for its own discovery of Kubernetes."""

from typing import Any

import pytest
from tests.kubernetes.discovery import META, endpoint_targets, pod_targets
from tests.kubernetes.scraping import scrape_configurations, with_files

from rayfleet.deploy.install import install_objects

LABELS = {"app.kubernetes.io/name": "rayfleet"}
POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "n", "labels": LABELS},
    "spec": {"containers": [{"name": "c", "ports": [{"name": "admin", "containerPort": 8002}]}]},
    "status": {"podIP": "10.0.0.1", "phase": "Running"},
}
SERVICE: dict[str, Any] = {"metadata": {"name": "s", "namespace": "n", "labels": LABELS}}
ENDPOINTS: dict[str, Any] = {
    "metadata": {"name": "s", "namespace": "n"},
    "subsets": [
        {
            "addresses": [{"ip": "10.0.0.1", "targetRef": {"kind": "Pod", "name": "p"}}],
            "ports": [{"name": "admin", "port": 8002}],
        }
    ],
}


def monitors() -> list[Any]:
    values = {"monitoring": {"serviceMonitors": True, "podMonitor": True}}
    return [each for each in install_objects(values) if each["kind"].endswith("Monitor")]


def test_each_monitor_is_one_job_that_looks_where_the_monitor_says() -> None:
    found = {each["job_name"]: each["kubernetes_sd_configs"] for each in scrape_configurations(monitors())}
    ours = [{"role": "endpoints", "namespaces": {"names": ["rayfleet-system"]}}]
    assert found == {
        "serviceMonitor/rayfleet-system/rayfleet-controller/0": ours,
        "serviceMonitor/rayfleet-system/rayfleet-gateway/0": ours,
        "podMonitor/rayfleet-system/rayfleet-engines/0": [{"role": "pod"}],
    }


def test_a_field_that_is_not_known_is_refused() -> None:
    monitor = monitors()[0]
    monitor["spec"]["endpoints"][0]["relabelings"] = []
    with pytest.raises(ValueError, match="relabelings"):
        scrape_configurations([monitor])


def test_with_files_a_job_keeps_to_its_namespaces() -> None:
    of_service, *_, of_pods = (with_files(each, "/targets") for each in scrape_configurations(monitors()))
    assert of_service["file_sd_configs"][0]["files"] == ["/targets/endpoints.json"]
    assert of_service["relabel_configs"][0]["regex"] == "rayfleet\\-system"
    assert of_pods["file_sd_configs"][0]["files"] == ["/targets/pod.json"]
    assert of_pods["relabel_configs"][0]["regex"] == ".*"
    assert not {"kubernetes_sd_configs"} & (of_service.keys() | of_pods.keys())


def test_discovery_gives_each_target_the_labels_that_are_asked_for() -> None:
    asked = {
        name
        for each in scrape_configurations(monitors())
        for relabeling in each["relabel_configs"]
        for name in relabeling.get("source_labels", ())
        if "component" not in name and "rayfleet_io_metrics" not in name and "ray_io_node_type" not in name
    }
    [of_pod] = pod_targets([POD])
    [of_service] = endpoint_targets([ENDPOINTS], [SERVICE], [POD])
    assert of_pod["targets"] == of_service["targets"] == ["10.0.0.1:8002"]
    assert asked - (of_pod["labels"].keys() | of_service["labels"].keys()) == set()
    assert of_service["labels"][f"{META}_pod_container_name"] == "c"
    assert of_service["labels"][f"{META}_service_label_app_kubernetes_io_name"] == "rayfleet"


def test_a_pod_without_an_address_is_no_target() -> None:
    assert list(pod_targets([{**POD, "status": {}}])) == []
