"""How a model may be split: by its heads, its key-value heads, its layers and its experts."""

import json
from pathlib import Path
from typing import Any

import pytest

from rayfleet.model.serving import Parallelism, Serving
from rayfleet.plugin.model_split import expert_ranks, known_shape, split_look, split_problems
from rayfleet.plugin.registry import load
from rayfleet.plugin.split_check import Shape, main, shape_of, split_lacks

SMOL = Shape(heads=9, key_heads=3, layers=30)


@pytest.mark.parametrize(
    ("shape", "sizes", "words"),
    [
        (SMOL, (2, 1, 1), "tensor 2 does not divide its 9 attention heads (these do: 1, 3, 9)"),
        (SMOL, (3, 2, 1), ""),
        (SMOL, (9, 1, 1), ""),  # three ranks share a key-value head
        (SMOL, (1, 30, 1), ""),
        (SMOL, (1, 31, 1), "pipeline 31 is more than its 30 layers"),
        (Shape(heads=28, key_heads=4), (7, 1, 1), "tensor 7 neither divides its 4 key-value heads nor is a multiple"),
        (Shape(heads=28, key_heads=4), (14, 1, 1), "tensor 14 neither divides its 4 key-value heads"),
        (Shape(heads=28, key_heads=4), (4, 1, 1), ""),
        (Shape(heads=16, experts=8), (16, 1, 16), "expert parallelism over 16 ranks is more than its 8 experts"),
        (Shape(heads=16, experts=8), (16, 1, 1), ""),
        (Shape(), (7, 99, 99), ""),
    ],
)
def test_a_split_fits_or_lacks_something(shape: Shape, sizes: tuple[int, int, int], words: str) -> None:
    lacks = "; ".join(split_lacks(shape, *sizes))
    assert words in lacks
    assert bool(words) == bool(lacks)


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({"num_attention_heads": 9, "num_key_value_heads": 3, "num_hidden_layers": 30}, SMOL),
        ({"n_head": 12, "n_layer": 6}, Shape(heads=12, layers=6)),
        ({"num_attention_heads": 71, "num_kv_heads": 1}, Shape(heads=71, key_heads=1)),
        ({"text_config": {"num_attention_heads": 8}, "num_attention_heads": 4}, Shape(heads=8)),
        ({"text_config": None, "num_attention_heads": 4, "num_local_experts": 8}, Shape(heads=4, experts=8)),
        ({"num_attention_heads": "9", "num_hidden_layers": -1, "num_experts": True, "n_layer": 2.0}, Shape()),
        ({}, Shape()),
    ],
)
def test_a_configuration_tells_the_shape(config: dict[str, Any], shape: Shape) -> None:
    assert shape_of(config) == shape


def test_a_model_is_known_by_its_name_tuned_or_not() -> None:
    assert known_shape("HuggingFaceTB/SmolLM2-135M") == known_shape("HuggingFaceTB/SmolLM2-135M-Instruct") == SMOL
    assert known_shape("org/name") is None


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
def test_every_engine_that_splits_refuses_what_a_known_model_does_not_allow(engine: str) -> None:
    problems = load().engines[engine].problems(serving(2, engine=engine))
    words = "HuggingFaceTB/SmolLM2-135M cannot be split so: tensor 2 does not divide its 9 attention heads"
    assert [words in problem.message for problem in problems if problem.path == "spec.serving.parallelism"].count(
        True
    ) == 1
    allowed = load().engines[engine].problems(serving(3, engine=engine))
    assert [problem for problem in allowed if "cannot be split" in problem.message] == []


def test_who_tells_the_engine_of_another_configuration_is_left_alone() -> None:
    other = ("--hf-overrides", '{"num_attention_heads": 10}')
    assert list(split_problems(serving(2, arguments=other))) == []
    assert split_look(serving(2, model="/models/m", arguments=other), "/models/m") == ""


def test_nothing_is_looked_at_where_nothing_is_split_or_there_is_no_folder_yet() -> None:
    assert split_look(serving(1, model="/models/m"), "/models/m") == ""
    assert split_look(serving(2), "x") == ""
    assert "splits /models/m 2 1 1 || exit 1" in split_look(serving(2, model="/models/m"), "/models/m")


@pytest.mark.parametrize(
    ("arguments", "ranks"),
    [
        (("--enable-expert-parallel",), 8),
        (("--enable_expert_parallel",), 8),
        (("--ep-size", "4"), 4),
        (("--ep_size=2",), 2),
        (("--dtype", "half"), 1),
    ],
)
def test_the_ranks_of_experts_are_read_from_the_arguments(arguments: tuple[str, ...], ranks: int) -> None:
    assert expert_ranks(arguments, 8) == ranks


@pytest.mark.parametrize("text", ["[]", "{", "", "3", '{"num_attention_heads": 8}'])
def test_a_configuration_that_says_nothing_against_it_is_no_reason_to_end(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    assert main(["splits", str(tmp_path), "2", "1", "1"]) == 0
    assert main(["splits", str(tmp_path / "nowhere"), "2", "1", "1"]) == 0
    assert capsys.readouterr().err == ""


def test_a_configuration_that_does_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"num_attention_heads": 9}), encoding="utf-8")
    assert main(["splits", str(tmp_path), "2", "1", "1"]) == 1
    line = (
        f"rayfleet: {tmp_path} cannot be split so: tensor 2 does not divide its 9 attention heads (these do: 1, 3, 9)"
    )
    assert capsys.readouterr().err == f"{line}\n"


def serving(
    tensor: int,
    *,
    engine: str = "vllm",
    model: str = "HuggingFaceTB/SmolLM2-135M",
    arguments: tuple[str, ...] = (),
) -> Serving:
    return Serving(
        engine=engine,
        model=model,
        served_model_name="m",
        parallelism=Parallelism(tensor=tensor),
        arguments=arguments,
    )
