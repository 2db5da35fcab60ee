"""The list of KubeRay's refusals held against the real operator: each is refused in those words, no neighbour is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import Invalid
from rayfleet.model.json import Json
from rayfleet.model.resources import EVENTS, PODS, RAY_CLUSTERS
from rayfleet.objects.labels import RAY_CLUSTER_LABEL
from rayfleet.objects.meta import label
from rayfleet.testing.real_kuberay import SharedKubeRay
from rayfleet.testing.refused_templates import REFUSED_TEMPLATES, ray_cluster_spec
from rayfleet.testing.waiting import until

pytestmark = [pytest.mark.realkube, pytest.mark.timeout(900)]

LIMIT_SECONDS = 120.0
NEEDS_MORE = "kubernetes-token-of-an-old-ray-good"  # taken, but its pods wait for more of a cluster than is here


def cluster(namespace: str, name: str, fields: Mapping[str, Any], annotations: Mapping[str, str]) -> Json:
    meta = {"name": name, "namespace": namespace, "annotations": dict(annotations)}
    head = {"apiVersion": RAY_CLUSTERS.api_version, "kind": RAY_CLUSTERS.kind, "metadata": meta}
    return {**head, "spec": ray_cluster_spec(fields)}


async def refused_by_the_server(client: KubeClient, manifest: Json) -> bool:
    """Create a RayCluster; return whether its definition alone already says no."""
    try:
        await client.create(RAY_CLUSTERS, manifest)
    except Invalid:
        return True
    return False


async def test_the_real_operator_refuses_these_and_takes_their_neighbours(
    shared_kuberay: SharedKubeRay, tmp_path: Path
) -> None:
    async with shared_kuberay.lent(tmp_path) as server, server.operator():
        client, namespace = server.client, await server.namespace("refusals")
        at_the_door = {
            case.name
            for case in REFUSED_TEMPLATES
            if await refused_by_the_server(client, cluster(namespace, case.name, case.fields, case.annotations))
        }
        for case in REFUSED_TEMPLATES:
            await client.create(RAY_CLUSTERS, cluster(namespace, f"{case.name}-good", case.neighbour, {}))

        async def messages() -> dict[str, str]:
            events = (await client.list(EVENTS, namespace)).items
            refusals = [each for each in events if each["reason"] == "InvalidRayClusterSpec"]
            return {each["involvedObject"]["name"]: each["message"] for each in refusals}

        async def with_pods() -> set[str]:
            return {label(pod, RAY_CLUSTER_LABEL) for pod in (await client.list(PODS, namespace)).items}

        expected = {case.name for case in REFUSED_TEMPLATES} - at_the_door
        told = await until(messages, "all refusals", LIMIT_SECONDS, holds=lambda said: said.keys() >= expected)
        good = {f"{case.name}-good" for case in REFUSED_TEMPLATES} - {NEEDS_MORE}
        await until(with_pods, "pods of all neighbours", LIMIT_SECONDS, holds=lambda names: names >= good)
        wrong = {case.name: told[case.name] for case in REFUSED_TEMPLATES if case.name in expected}
        assert [name for name, text in wrong.items() if _words(name) not in text] == []
        assert told.keys() == expected
        assert await with_pods() - {NEEDS_MORE} == good
        assert at_the_door <= {"negative-count"}, "the definition's own bounds"


def _words(name: str) -> str:
    return next(case.words for case in REFUSED_TEMPLATES if case.name == name)
