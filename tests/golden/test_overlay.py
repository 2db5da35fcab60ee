"""Fleets written by hand, and the RayCluster that comes of them with the sidecar that its head lacked.

``overlay/NAME.in.yaml`` is the fleet, ``NAME.out.yaml`` its first RayCluster's spec; ``make golden`` writes that anew.
"""

import os
from pathlib import Path

import pytest
import yaml

from rayfleet.plugin.registry import load
from rayfleet.testing.planner_world import PlannerWorld

FOLDER = Path(__file__).parent / "overlay"
REWRITES = os.environ.get("RAYFLEET_GOLDEN") == "rewrite"
NAMES = sorted(path.name.removesuffix(".in.yaml") for path in FOLDER.glob("*.in.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_a_head_gets_the_sidecar_that_it_lacked(name: str) -> None:
    world = PlannerWorld(tuple(load().command_readers.values()))
    world.apply_fleet(yaml.safe_load((FOLDER / f"{name}.in.yaml").read_text(encoding="utf-8")))
    world.fleet_pass()
    (replica_set,) = world.objects["RayClusterReplicaSet"]
    world.replica_set_pass(replica_set)
    (ray_cluster,) = world.objects["RayCluster"].values()
    text = yaml.safe_dump(ray_cluster["spec"], sort_keys=False, width=1000)
    path = FOLDER / f"{name}.out.yaml"
    if REWRITES:
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
    written = yaml.safe_load((FOLDER / f"{name}.in.yaml").read_text(encoding="utf-8"))["spec"]["template"]["spec"]
    kept = world.objects["RayClusterReplicaSet"][replica_set]["spec"]["template"]["spec"]
    assert len(kept["headGroupSpec"]["template"]["spec"]["containers"]) == 1  # the template stays as it was written
    assert (
        ray_cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
        == (written["headGroupSpec"]["template"]["spec"]["containers"][0])
    )
    assert (
        ray_cluster["spec"]["workerGroupSpecs"][0]["template"]["spec"]
        == (written["workerGroupSpecs"][0]["template"]["spec"])
    )
