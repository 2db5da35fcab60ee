"""The RayCluster that ``spec.serving`` becomes: ``NAME.in.yaml`` (fleet and launch plan) to ``NAME.out.yaml``."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import rayfleet
from rayfleet.manifest.fleet import decode_fleet
from rayfleet.manifest.ray_template import ray_template_errors
from rayfleet.manifest.template import encode_template, selector_errors
from rayfleet.model.engine import EngineProbe, LaunchPlan, NodeLaunch
from rayfleet.model.errors import FieldError, ManifestError
from rayfleet.model.fleet import Fleet, RayClusterTemplate
from rayfleet.model.policies import Drain
from rayfleet.model.serving import Serving
from rayfleet.planning.render import fleet_template, render_template
from rayfleet.plugin.contracts import Engine, ModelFormat

FOLDER = Path(__file__).parent / "render"
REWRITES = os.environ.get("RAYFLEET_GOLDEN") == "rewrite"
NAMES = ("llamacpp-two-nodes", "vllm-two-nodes-with-accelerators")


class WrittenEngine:
    """An engine whose launch plan stands in a file."""

    def __init__(self, name: str, plan: LaunchPlan, problems: tuple[FieldError, ...] = ()) -> None:
        self.name = name
        self.model_format: ModelFormat | None = None
        self._plan = plan
        self._problems = problems

    def problems(self, serving: Serving) -> tuple[FieldError, ...]:
        return self._problems

    def launch_plan(self, serving: Serving) -> LaunchPlan:
        return self._plan


def load(name: str) -> tuple[Fleet, WrittenEngine]:
    raw_fleet, raw_plan = yaml.safe_load_all((FOLDER / f"{name}.in.yaml").read_text(encoding="utf-8"))
    fleet = decode_fleet(raw_fleet)
    assert fleet.spec.serving is not None
    plan = LaunchPlan(
        image=raw_plan["image"],
        ray_version=raw_plan["ray_version"],
        head=NodeLaunch(**raw_plan["head"]),
        worker=NodeLaunch(**raw_plan["worker"]),
        probe=EngineProbe(**raw_plan["probe"]),
    )
    return fleet, WrittenEngine(fleet.spec.serving.engine, plan)


def rendered(name: str) -> tuple[Fleet, RayClusterTemplate]:
    fleet, engine = load(name)
    engines: Mapping[str, Engine] = {engine.name: engine}
    return fleet, fleet_template(fleet, engines)


@pytest.mark.parametrize("name", NAMES)
def test_serving_is_rendered_as_written_down(name: str) -> None:
    _, template = rendered(name)
    encoded = encode_template(template)
    text = yaml.safe_dump(encoded, sort_keys=False, width=120).replace(rayfleet.__version__, "VERSION")
    path = FOLDER / f"{name}.out.yaml"
    if REWRITES:
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_rendered_is_what_we_would_accept(name: str) -> None:
    fleet, template = rendered(name)
    assert ray_template_errors(template.spec, dict(template.annotations), "spec") == ()
    assert selector_errors(fleet.spec.selector, template, "spec.selector", ()) == ()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_listens_on_every_address(name: str) -> None:
    _, template = rendered(name)
    assert "0.0.0.0" not in yaml.safe_dump(template.spec)


def test_an_engine_that_is_not_there_is_said_with_the_nearest() -> None:
    fleet, engine = load("llamacpp-two-nodes")
    engines: Mapping[str, Engine] = {"llamacp": engine}
    with pytest.raises(ManifestError) as caught:
        fleet_template(fleet, engines)
    message = '"llamacpp" is no engine here (did you mean "llamacp"?); there are: llamacp'
    assert [str(error) for error in caught.value.errors] == [f"spec.serving.engine: {message}"]


def test_what_an_engine_cannot_do_is_the_manifest_s_error() -> None:
    fleet, engine = load("llamacpp-two-nodes")
    problem = FieldError(path="spec.serving.parallelism.tensor", message="4 is more than 2")
    engines: Mapping[str, Engine] = {
        "llamacpp": WrittenEngine("llamacpp", engine.launch_plan(serving_of(fleet)), (problem,))
    }
    with pytest.raises(ManifestError) as caught:
        fleet_template(fleet, engines)
    assert caught.value.errors == (problem,)


def test_what_the_manifest_names_wins_over_the_engines_choice() -> None:
    fleet, engine = load("llamacpp-two-nodes")
    own = {"MODEL": "mine", "OWN": "1"}
    serving = replace(serving_of(fleet), image="example/mine:2", ray_version="2.40.0", environment=own)
    plan = engine.launch_plan(serving)
    worker = replace(plan.worker, environment={"MODEL": "the engine's", "KEPT": "1"})
    spec = render_template(serving, replace(plan, worker=worker), fleet.meta, Drain()).spec
    assert spec["rayVersion"] == "2.40.0"
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        ray = group["template"]["spec"]["containers"][0]
        assert ray["image"] == "example/mine:2"
        values = {entry["name"]: entry.get("value") for entry in ray["env"]}
        assert (values["MODEL"], values["OWN"]) == ("mine", "1")
    assert values["KEPT"] == "1"


def test_a_port_of_its_own_is_noted_for_the_service() -> None:
    fleet, engine = load("llamacpp-two-nodes")
    plan = engine.launch_plan(serving_of(fleet))
    moved = LaunchPlan(
        image=plan.image, ray_version="2.40.0", head=plan.head, worker=plan.worker, probe=EngineProbe(port=9000)
    )
    engines: Mapping[str, Engine] = {"llamacpp": WrittenEngine("llamacpp", moved)}
    template = fleet_template(fleet, engines)
    assert template.labels["model.aibrix.ai/port"] == "9000"
    assert "authOptions" not in template.spec, "Ray 2.40 has no token authentication"


def serving_of(fleet: Fleet) -> Serving:
    assert fleet.spec.serving is not None
    return fleet.spec.serving
