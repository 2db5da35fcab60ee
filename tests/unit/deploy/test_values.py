"""What an installation is told (rayfleet.deploy.values), and what its objects keep to."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import yaml

from rayfleet.deploy.install import install_objects
from rayfleet.deploy.values import checked_values, default_values, json_schema, values_yaml
from rayfleet.model.errors import ManifestError

EVERYTHING = {
    "monitoring": {"serviceMonitors": True, "podMonitor": True, "rules": True, "dashboards": True},
    "networkPolicy": {"enabled": True, "fleetNamespaces": ["llm"]},
    "gatewayApi": {"className": "rayfleet", "controllerName": "rayfleet.io/gateway"},
}
OBJECTS = install_objects(EVERYTHING)


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"gatway": {}}, "gatway"),
        ({"controller": {"image": "rayfleet/controller"}}, "controller.image"),
        ({"controller": {"image": "registry.example:5000/controller"}}, "controller.image"),
        ({"gateway": {"image": "rayfleet/controller:latest"}}, "gateway.image"),
        ({"controller": {"replicas": 0}}, "controller.replicas"),
        ({"gateway": {"service": {"type": "Public"}}}, "gateway.service.type"),
        ({"networkPolicy": {"fleetNamespaces": "llm"}}, "networkPolicy.fleetNamespaces"),
    ],
)
def test_a_wrong_value_is_refused_with_its_path(values: dict[str, Any], path: str) -> None:
    with pytest.raises(ManifestError) as refused:
        checked_values(values)
    assert [error.path for error in refused.value.errors] == [path]


def test_values_are_laid_over_the_defaults_as_helm_does_it() -> None:
    given = {
        "controller": {"resources": {"limits": {"cpu": "2"}}},
        "monitoring": {"dashboardLabels": {"grafana_dashboard": None}},
    }
    values = checked_values(given)
    assert values["controller"]["resources"] == {
        "requests": {"cpu": "100m", "memory": "128Mi"},
        "limits": {"memory": "1Gi", "cpu": "2"},
    }
    assert values["monitoring"]["dashboardLabels"] == {}
    assert values["gateway"] == default_values()["gateway"]


def test_the_file_of_values_says_the_defaults_and_what_each_is_for() -> None:
    text = values_yaml()
    assert yaml.safe_load(text) == default_values()
    lines = [line.strip() for line in text.splitlines()]
    unsaid = [line for before, line in pairwise(lines) if before == "#" and line]
    assert unsaid == []


def test_the_schema_for_helm_knows_no_other_field() -> None:
    def objects(schema: Any) -> Iterator[Any]:
        if isinstance(schema, dict):
            if "properties" in schema and schema.get("type") == "object":
                yield schema
            for part in schema.values():
                yield from objects(part)

    assert [each for each in objects(json_schema()) if each["additionalProperties"] is not False] == []


def pods() -> Iterator[Any]:
    yield from (each["spec"]["template"]["spec"] for each in OBJECTS if each["kind"] == "Deployment")


def test_every_pod_of_ours_keeps_to_the_standard_restricted() -> None:
    """Kubernetes, Pod Security Standards, Restricted; and a root file system that nobody writes to."""
    assert len(list(pods())) == 2
    for pod in pods():
        assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        assert all("emptyDir" in volume for volume in pod["volumes"])
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert not any("hostPort" in port for port in container["ports"])


def test_every_flag_that_a_pod_gets_is_one_that_the_process_has() -> None:
    from rayfleet.cli.controller import controller_command
    from rayfleet_gateway.main import _parser
    from rayfleet_gateway.model.settings import GatewaySettings

    controller, gateway = (pod["containers"][0] for pod in pods())
    assert controller["args"][0] == "controller"
    controller_command.make_context("controller", list(controller["args"][1:]))
    chosen = _parser(GatewaySettings()).parse_args(gateway["args"])
    ports = {port["name"]: port["containerPort"] for port in gateway["ports"]}
    assert ports == {"http": chosen.port, "admin": chosen.admin_port}


def test_nothing_is_a_hook_and_the_definitions_stay() -> None:
    notes = {each["metadata"]["name"]: each["metadata"].get("annotations", {}) for each in OBJECTS}
    assert not any("helm.sh/hook" in annotations for annotations in notes.values())
    kept = {name for name, annotations in notes.items() if annotations.get("helm.sh/resource-policy") == "keep"}
    assert kept == {each["metadata"]["name"] for each in OBJECTS if each["kind"] == "CustomResourceDefinition"}


def test_everything_lies_in_the_namespace_that_was_asked_for() -> None:
    objects = install_objects(EVERYTHING, "elsewhere")
    assert {each["metadata"].get("namespace") for each in objects} == {"elsewhere", "llm", None}
    assert "rayfleet-system" not in yaml.safe_dump_all(
        [each for each in objects if each["kind"] != "CustomResourceDefinition"]
    )
