"""The controller's role allows exactly the writes that a plan can contain."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from rayfleet import deploy
from rayfleet.controllers.fleet_source import FleetSources
from rayfleet.controllers.run import controller_parts, controller_reflectors
from rayfleet.kube.address import KubeAddress
from rayfleet.kube.client import KubeClient

FOLDER = Path(deploy.__file__).parent / "rbac"
Rule = tuple[str, str, str]
"""API group, resource, verb."""


def allowed(file: str, kind: str) -> set[Rule]:
    documents: list[Any] = list(yaml.safe_load_all((FOLDER / file).read_text(encoding="utf-8")))
    return {
        (group, resource, verb)
        for document in documents
        if document["kind"] == kind
        for rule in document["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def planned() -> set[Rule]:
    """Return what the planners of our controllers declare that they write; a new controller's is among it."""
    client = KubeClient(KubeAddress(url="http://nowhere"))
    declared = [
        part.steps.writes for part in controller_parts(controller_reflectors(client, None), FleetSources({}), client)
    ]
    assert None not in declared, "one of our controllers may write anything"
    return {
        (each.resource.group, f"{each.resource.plural}/{each.subresource}".rstrip("/"), each.verb.value)
        for writes in declared
        for each in writes or ()
    }


def test_every_planned_write_is_allowed_and_no_other() -> None:
    writes = {rule for rule in allowed("controller.yaml", "ClusterRole") if rule[2] not in {"get", "list", "watch"}}
    beside = {rule for rule in writes if rule[1] == "events" or rule[1].endswith("/finalizers")}
    assert writes - beside == planned()


@pytest.mark.parametrize(
    ("file", "forbidden"),
    [("controller.yaml", {"secrets", "*"}), ("gateway.yaml", {"secrets", "pods", "*"}), ("users.yaml", {"*"})],
)
def test_nothing_more_is_asked_for(file: str, forbidden: set[str]) -> None:
    assert {resource for _, resource, _ in allowed(file, "ClusterRole")} & forbidden == set()


def test_the_gateway_looks_and_tells_what_became_of_what_it_saw() -> None:
    rules = allowed("gateway.yaml", "ClusterRole")
    writes = {(resource, verb) for _, resource, verb in rules if verb not in {"get", "list", "watch"}}
    assert writes == {("httproutes/status", "patch"), ("gateways/status", "patch")}
    watched = {resource for _, resource, verb in rules if verb == "watch"}
    assert watched == {"httproutes", "gateways", "referencegrants", "services", "endpointslices"}
