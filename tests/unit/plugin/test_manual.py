"""plugins/README.md shows every hook with its exact arguments, and its examples work."""

import inspect
import re
import types
from pathlib import Path

import pytest

from rayfleet.model.engine import LaunchPlan
from rayfleet.model.errors import EnvironmentProblem
from rayfleet.model.serving import Serving
from rayfleet.plugin import hookspecs
from rayfleet.plugin.contracts import ModelFormat
from rayfleet.plugin.registry import Registry, load

MANUAL = (Path(__file__).parents[3] / "plugins" / "README.md").read_text(encoding="utf-8")
HOOKS = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("rayfleet_")}
PLUGINS = ("llamacpp", "vllm", "models")


def _signature(name: str) -> str:
    hook = inspect.signature(HOOKS[name])
    returned = re.sub(r"[\w.]+\.(\w+)", r"\1", inspect.formatannotation(hook.return_annotation))
    arguments = ", ".join(hook.parameters)
    return f"{name}({arguments}) -> {returned}"


def _example(name: str) -> types.ModuleType:
    section = MANUAL.split(f"### `{name}(")[1].split("\n## ")[0].split("\n### ")[0]
    code = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    assert len(code) == 1
    module = types.ModuleType(f"example_{name}")
    exec(compile(code[0], f"plugins/README.md:{name}", "exec"), vars(module))  # noqa: S102 - our own manual
    return module


def _loaded() -> Registry:
    return load(disabled=PLUGINS, extra={name: _example(name) for name in HOOKS})


def test_the_manual_names_every_hook_with_its_signature_and_no_other() -> None:
    assert re.findall(r"### `(rayfleet_.*)`", MANUAL) == [_signature(name) for name in HOOKS]


def test_the_example_engine_is_usable() -> None:
    engine = _loaded().engines["echo"]
    serving = Serving(engine="echo", model="m", served_model_name="m")
    assert engine.problems(serving) == ()
    assert isinstance(engine.launch_plan(serving), LaunchPlan)
    two = Serving(engine="echo", model="m", served_model_name="m", nodes=2)
    assert [str(problem) for problem in engine.problems(two)] == ["spec.serving.nodes: echo works on one node, not 2"]


def test_the_example_model_source_is_usable(tmp_path: Path) -> None:
    source_and_rest = _loaded().source_of("zoo:tiny")
    assert source_and_rest is not None
    source, rest = source_and_rest
    with pytest.raises(EnvironmentProblem, match="zoo:tiny"):
        source.fetch(rest, ModelFormat.GGUF, tmp_path, lambda _: None)
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "tiny.gguf").touch()
    assert source.fetch(rest, ModelFormat.GGUF, tmp_path, lambda _: None).name == "tiny.gguf"


def test_the_example_environment_is_usable() -> None:
    assert list(_loaded().local_environments) == ["echo"]
