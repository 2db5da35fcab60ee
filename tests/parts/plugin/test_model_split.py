"""A model in a folder that does not allow the split: the scripts end with a line before the engine is started."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from rayfleet.model.serving import Backend, NodeResources, Parallelism, Serving
from rayfleet.plugin.registry import load
from rayfleet.testing.launching import Image, real

PROGRAMS = {"sglang": "sglang", "trtllm": "trtllm-serve", "vllm": "vllm"}
ENGINES = load().engines


def image_of(folder: Path, engine: str) -> Image:
    image = Image(folder=folder)
    image.add(PROGRAMS[engine], f"touch engine.started; exec {real('sleep')} 60")
    image.add("python3", f'exec {shlex.quote(sys.executable)} "$@"')
    return image


def serving(engine: str, model: Path, tensor: int) -> Serving:
    return Serving(
        engine=engine,
        model=str(model),
        served_model_name="m",
        backend=Backend.MP,
        parallelism=Parallelism(tensor=tensor),
        resources=NodeResources(accelerators=tensor),
    )


@pytest.mark.parametrize("engine", PROGRAMS)
def test_what_the_heads_do_not_allow_is_told_instead_of_a_start(engine: str, tmp_path: Path) -> None:
    model = tmp_path / "it's a model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"num_attention_heads": 9}), encoding="utf-8")
    asked = serving(engine, model, 2)
    assert ENGINES[engine].problems(asked) == (), "the folder is not known here"
    with image_of(tmp_path, engine).running(ENGINES[engine].launch_plan(asked).head) as script:
        ended = script.ended()
    assert ended.status == 1
    assert f"{model} cannot be split so: tensor 2 does not divide its 9 attention heads" in ended.output
    assert not (tmp_path / "engine.started").exists()


@pytest.mark.parametrize("engine", PROGRAMS)
def test_what_they_allow_is_started(engine: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"num_attention_heads": 9}), encoding="utf-8")
    image = image_of(tmp_path, engine)
    with image.running(ENGINES[engine].launch_plan(serving(engine, tmp_path, 3)).head) as script:
        image.wait_for("engine.started")
        script.terminate()
        assert script.ended().status == 0
