"""KubeRay's refusals: each said at its field, and by the stand-in in KubeRay's words; their neighbours are taken."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from rayfleet.controllers.fleet import observed_fleet
from rayfleet.controllers.fleet_source import FleetSources
from rayfleet.kube.store import Store
from rayfleet.local.kuberay.refusals import refusal
from rayfleet.manifest.fleet import decode_fleet
from rayfleet.model.absence import Absence
from rayfleet.model.errors import ManifestError
from rayfleet.model.json import Json
from rayfleet.model.resources import FLEETS, RAY_CLUSTERS, ResourceType
from rayfleet.planning.fleet.plan import plan_invalid_fleet
from rayfleet.planning.observed import ObservedInvalidFleet
from rayfleet.planning.writes import Replace
from rayfleet.testing.refused_templates import REFUSED_TEMPLATES, RefusedTemplate, ray_cluster_spec

SPEC = "spec.template.spec"
each = pytest.mark.parametrize("case", REFUSED_TEMPLATES, ids=[case.name for case in REFUSED_TEMPLATES])


def fleet(fields: Mapping[str, Any], annotations: Mapping[str, str]) -> Json:
    meta = {"labels": {"app": "x"}, "annotations": dict(annotations)}
    return {
        "apiVersion": FLEETS.api_version,
        "kind": FLEETS.kind,
        "metadata": {"name": "f", "namespace": "default", "uid": "u"},
        "spec": {
            "selector": {"matchLabels": {"app": "x"}},
            "template": {"metadata": meta, "spec": ray_cluster_spec(fields)},
        },
    }


def cluster(fields: Mapping[str, Any], annotations: Mapping[str, str]) -> Json:
    meta = {"name": "c", "namespace": "default", "annotations": dict(annotations)}
    return {"apiVersion": RAY_CLUSTERS.api_version, "kind": "RayCluster", "metadata": meta} | {
        "spec": ray_cluster_spec(fields)
    }


@each
def test_what_kuberay_refuses_is_said_at_its_field(case: RefusedTemplate) -> None:
    with pytest.raises(ManifestError) as caught:
        decode_fleet(fleet(case.fields, case.annotations))
    assert [error.path for error in caught.value.errors] == [f"{SPEC}.{case.path}"]


@each
def test_the_nearest_that_kuberay_takes_is_taken(case: RefusedTemplate) -> None:
    decode_fleet(fleet(case.neighbour, {}))
    assert refusal(cluster(case.neighbour, {})) is None


@each
def test_the_stand_in_refuses_in_kuberays_words(case: RefusedTemplate) -> None:
    refused = refusal(cluster(case.fields, case.annotations))
    assert refused is not None
    assert case.words in refused.problem


@each
def test_a_fleet_that_kuberay_would_refuse_has_no_children(case: RefusedTemplate) -> None:
    """The status is all that is written: KubeRay would let its RayClusters lie without a word."""
    observed = observed_fleet(fleet(case.fields, case.annotations), EmptyStores(), FleetSources({}))
    assert isinstance(observed, ObservedInvalidFleet)
    actions = plan_invalid_fleet(observed, datetime(2026, 1, 1, tzinfo=UTC)).actions
    assert [type(action) for action in actions] == [Replace]


class EmptyStores:
    def store(self, resource: ResourceType) -> Store:
        return Store()

    def absences(self, resources: Iterable[ResourceType]) -> Mapping[ResourceType, Absence]:
        return {}


def test_everything_that_is_refused_is_said_at_once() -> None:
    wrong = {"headGroupSpec.template.spec.containers": [], "workerGroupSpecs.0.minReplicas": -1}
    with pytest.raises(ManifestError) as caught:
        decode_fleet(fleet(wrong, {}))
    assert len(caught.value.errors) == 2
