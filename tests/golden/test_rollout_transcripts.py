"""Rollouts as transcripts: who writes what, in which round, and how the fleet then stands.

``make golden`` writes them anew.

In each round every controller makes one pass, then KubeRay reports the Ray clusters of the round before as ready
(unless the scenario says that they never get so) and ends deletions.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.planning.plan import FleetPlan, ReplicaSetPlan
from rayfleet.planning.writes import NAME_MARK, Create, CreateTogether, Delete, Event, Merge
from rayfleet.testing.planner_world import PlannerWorld

FOLDER = Path(__file__).parent / "rollouts"
REWRITES = os.environ.get("RAYFLEET_GOLDEN") == "rewrite"
GPU = {"nvidia.com/gpu": 1}

Step = tuple[str, Callable[[PlannerWorld], None]]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A first spec, then changes; ``breaks`` names images that never get ready, ``rounds`` ends what would not."""

    spec: ReadOnlyJson
    steps: tuple[Step, ...]
    resources: ReadOnlyJson = field(default_factory=dict)
    breaks: tuple[str, ...] = ()
    rounds: int = 12


def template(image: str, resources: ReadOnlyJson) -> Json:
    container = {"name": "ray", "image": image, "resources": {"limits": resources}}
    pod = {"template": {"spec": {"containers": [container]}}}
    return {"metadata": {"labels": {"app": "x"}}, "spec": {"headGroupSpec": pod}}


def rolling(surge: int | str, unavailable: int | str) -> Json:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


def image(name: str, resources: ReadOnlyJson | None = None) -> Step:
    return f"image {name}", lambda world: world.change_spec({"template": template(name, resources or {})})


def spec(patch: ReadOnlyJson) -> Step:
    return f"spec {patch}", lambda world: world.change_spec(patch)


def wait(seconds: int) -> Step:
    def pass_time(world: PlannerWorld) -> None:
        world.now += timedelta(seconds=seconds)

    return f"{seconds} s pass", pass_time


SCENARIOS = {
    "defaults-on-four": Scenario(spec={"replicas": 4}, steps=(image("b"),)),
    "surge-three-on-ten": Scenario(spec={"replicas": 10, "strategy": rolling(3, 2)}, steps=(image("b"),)),
    "one-gpu-replica-in-place": Scenario(spec={"replicas": 1}, resources=GPU, steps=(image("b", GPU),)),
    "two-gpu-replicas-by-surge": Scenario(
        spec={"replicas": 2, "strategy": rolling(1, 0)}, resources=GPU, steps=(image("b", GPU),)
    ),
    "recreate": Scenario(spec={"replicas": 2, "strategy": {"type": "Recreate"}}, steps=(image("b"),)),
    "bad-image-then-scaled-in-proportion": Scenario(
        spec={"replicas": 10, "strategy": rolling(3, 2)},
        breaks=("bad",),
        rounds=4,
        steps=(image("bad"), spec({"replicas": 30})),
    ),
    "bad-image-then-back": Scenario(spec={"replicas": 2}, breaks=("bad",), rounds=4, steps=(image("bad"), image("a"))),
    "bad-image-until-the-deadline": Scenario(
        spec={"replicas": 1, "progressDeadlineSeconds": 60},
        breaks=("bad",),
        rounds=3,
        steps=(image("bad"), wait(61), image("a")),
    ),
    "rollover": Scenario(
        spec={"replicas": 3, "strategy": rolling(1, 0)},
        breaks=("bad",),
        rounds=8,
        steps=(image("bad"), image("c")),
    ),
    "paused": Scenario(
        spec={"replicas": 2},
        steps=(spec({"paused": True}), image("b"), spec({"replicas": 3}), spec({"paused": False})),
    ),
    "scaled-to-zero-and-back": Scenario(spec={"replicas": 2}, steps=(spec({"replicas": 0}), spec({"replicas": 1}))),
    "min-ready-seconds": Scenario(spec={"replicas": 2, "minReadySeconds": 3}, steps=(image("b"),)),
    "history-of-one": Scenario(
        spec={"replicas": 1, "revisionHistoryLimit": 1}, steps=(image("b"), image("c"), image("b"))
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_rollout_goes_as_written_down(name: str) -> None:
    text = transcript(SCENARIOS[name])
    path = FOLDER / f"{name}.out.txt"
    if REWRITES:
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_no_transcript_is_left_over() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.out.txt" for name in SCENARIOS}


def transcript(scenario: Scenario) -> str:
    world = PlannerWorld()
    manifest: Json = {
        "apiVersion": "orchestration.aibrix.ai/v1alpha1",
        "kind": "RayClusterFleet",
        "metadata": {"name": "fleet"},
        "spec": {
            "selector": {"matchLabels": {"app": "x"}},
            "template": template("a", scenario.resources),
            **scenario.spec,
        },
    }
    lines = [f"# create {scenario.spec}"]
    world.apply_fleet(manifest)
    lines += rounds(world, scenario)
    for title, change in scenario.steps:
        lines += ["", f"# {title}"]
        change(world)
        lines += rounds(world, scenario)
    return "\n".join([*lines, ""])


def rounds(world: PlannerWorld, scenario: Scenario) -> list[str]:
    """Run rounds until nothing is written or awaited; return what happened, one line each."""
    lines: list[str] = []
    for number in range(1, scenario.rounds + 1):
        plan = world.fleet_pass()
        found = [*plan.actions]
        said = [f"  fleet: {event_text(event)}" for event in events_of(plan)]
        waits = plan.requeue_after is not None
        for name in list(world.objects.get("RayClusterReplicaSet", {})):
            set_plan = world.replica_set_pass(name)
            found += set_plan.actions
            said += [f"  {name}: {event_text(event)}" for event in events_of(set_plan)]
        if not found and not waits:
            return lines
        lines += [f"round {number}: {standing(world)}", *said]
        world.finish_deletions()
        world.make_ready(*(name for name in world.names() if image_of(world, name) not in scenario.breaks))
        world.now += timedelta(seconds=1)
    return [*lines, f"(after {scenario.rounds} rounds: {standing(world)})"]


def standing(world: PlannerWorld) -> str:
    status = world.fleet["status"]
    conditions = [f"{each['type']}={each['status']}/{each['reason']}" for each in status["conditions"]]
    counts = (
        f"ready {status['ready']} updated {status['updatedReplicas']} available {status['availableReplicas']}"
        f" terminating {status['terminatingReplicas']}"
    )
    return f"{status['phase']}; {counts}; {' '.join(conditions)}"


def events_of(plan: FleetPlan | ReplicaSetPlan) -> Iterator[Event]:
    """Yield what is told of each write, then of the whole."""
    for action in plan.actions:
        match action:
            case CreateTogether(manifests=manifests, event=Event() as event):
                for manifest in manifests:
                    yield replace(event, message=event.message.replace(NAME_MARK, manifest["metadata"]["name"]))
            case Delete(ref=ref, event=Event() as event):
                yield replace(event, message=event.message.replace(NAME_MARK, ref.key.name))
            case Create(event=Event() as event) | Merge(event=Event() as event):
                yield event
            case _:
                pass
    yield from plan.events


def event_text(event: Event) -> str:
    return event.message if event.type == "Normal" else f"{event.type} {event.reason}: {event.message}"


def image_of(world: PlannerWorld, name: str) -> str:
    spec_ = world.objects["RayCluster"][name]["spec"]
    return str(spec_["headGroupSpec"]["template"]["spec"]["containers"][0]["image"])
