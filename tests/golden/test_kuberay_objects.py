"""What the KubeRay stand-in makes of a RayCluster: ``NAME.in.yaml`` to ``NAME.out.yaml``.

Every object, in the order of its writing.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from rayfleet.local.kuberay.plan import ObservedCluster, plan_ray_cluster
from rayfleet.model.json import ReadOnlyJson
from rayfleet.planning.writes import Create

FOLDER = Path(__file__).parent / "kuberay"
REWRITES = os.environ.get("RAYFLEET_GOLDEN") == "rewrite"
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
NAMES = ("overwritten-command", "generated-command")


def objects(cluster: ReadOnlyJson) -> Iterator[ReadOnlyJson]:
    for action in plan_ray_cluster(ObservedCluster(cluster=cluster, pods=()), NOW).actions:
        assert isinstance(action, Create), "a first pass has no head Service to tell a status of"
        yield action.manifest


def text(manifests: Iterator[ReadOnlyJson]) -> str:
    class Whole(yaml.SafeDumper):
        """Repeat what stands twice: anchors read badly."""

        def ignore_aliases(self, data: object) -> bool:
            return True

    return yaml.dump_all(manifests, Dumper=Whole, sort_keys=False, width=140)


@pytest.mark.parametrize("name", NAMES)
def test_a_ray_cluster_becomes_these_objects(name: str) -> None:
    cluster = yaml.safe_load((FOLDER / f"{name}.in.yaml").read_text(encoding="utf-8"))
    found = text(objects(cluster))
    expected = FOLDER / f"{name}.out.yaml"
    if REWRITES:
        expected.write_text(found, encoding="utf-8")
    assert found == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_the_same_cluster_becomes_the_same_objects_again(name: str) -> None:
    cluster = yaml.safe_load((FOLDER / f"{name}.in.yaml").read_text(encoding="utf-8"))
    before = yaml.safe_dump(cluster)
    assert text(objects(cluster)) == text(objects(cluster))
    assert yaml.safe_dump(cluster) == before, "the RayCluster in the store was changed"
