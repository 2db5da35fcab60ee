"""What the KubeRay stand-in makes of a RayCluster: ``NAME.in.yaml`` to ``NAME.out.yaml``.

Every object, in the order of its writing.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from rayfleet.local.kuberay.plan import ObservedCluster, plan_ray_cluster
from rayfleet.local.kuberay.services import (
    build_auth_secret,
    build_head_service,
    build_headless_service,
    build_serve_service,
)
from rayfleet.local.kuberay.steps import CreatePod
from rayfleet.model.json import Json, ReadOnlyJson

FOLDER = Path(__file__).parent / "kuberay"
REWRITES = os.environ.get("RAYFLEET_GOLDEN") == "rewrite"
NAMES = ("overwritten-command", "generated-command")


def objects(cluster: ReadOnlyJson) -> Iterator[Json]:
    for made in (
        build_auth_secret(cluster, bytes(32)),
        build_head_service(cluster),
        build_headless_service(cluster),
        build_serve_service(cluster),
    ):
        if made is not None:
            yield made
    for step in plan_ray_cluster(ObservedCluster(cluster=cluster, pods=())).steps:
        assert isinstance(step, CreatePod)
        yield step.manifest


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
