"""plugins/README.md shows every hook with its exact arguments, and its examples work."""

import dataclasses
import importlib
import inspect
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from rayfleet.model.engine import EngineCommand, LaunchPlan
from rayfleet.model.errors import EnvironmentProblem
from rayfleet.model.serving import Serving
from rayfleet.plugin import hookspecs
from rayfleet.plugin.contracts import ModelFormat
from rayfleet.plugin.frame import Frame
from rayfleet.plugin.registry import Registry, load
from rayfleet.testing.suites.engine import EngineSuite
from rayfleet.testing.suites.engine.promises import checks_of
from rayfleet.testing.suites.scorer import FilterSuite, PickerSuite, SampleRequest, ScorerSuite
from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.pick.endpoint_state import EndpointState
from rayfleet_gateway.pick.profiles import Contributed, Profiles
from rayfleet_gateway.route.match import Match
from rayfleet_gateway.route.table import Rule

MANUAL = (Path(__file__).parents[3] / "plugins" / "README.md").read_text(encoding="utf-8")
HOOKS = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("rayfleet_")}
PLUGINS = ("llamacpp", "vllm", "models", "openai", "sglang", "trtllm")
# The example declares neither a metrics page nor a command line.
CHECKS = [check.name for check in checks_of(EngineSuite) if check.needs in {"", "sets_flags"}]


def _signature(name: str) -> str:
    hook = inspect.signature(HOOKS[name])
    returned = re.sub(r"[\w.]+\.(\w+)", r"\1", inspect.formatannotation(hook.return_annotation))
    arguments = ", ".join(hook.parameters)
    return f"{name}({arguments}) -> {returned}"


def _section(name: str) -> str:
    return MANUAL.split(f"### `{name}(")[1].split("\n## ")[0].split("\n### ")[0]


def _codes(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", _section(name), flags=re.DOTALL)


def _module(name: str, code: str) -> types.ModuleType:
    module = types.ModuleType(name)
    exec(compile(code, f"plugins/README.md:{name}", "exec"), vars(module))  # noqa: S102 - our own manual
    return module


def _loaded() -> Registry:
    return load(disabled=PLUGINS, extra={name: _module(name, _codes(name)[0]) for name in HOOKS})


def _in_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: str) -> None:
    (folder / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineSuite]:
    """Yield the example's suite for the example's engine, which is a file as a plugin is."""
    engine, test = _codes("rayfleet_engines")
    _in_a_file(tmp_path, monkeypatch, "echo_plugin", engine)
    made: EngineSuite = vars(_module("test_echo", test))["TestEcho"]()
    yield made
    sys.modules.pop("echo_plugin", None)


def test_the_manual_names_every_hook_with_its_signature_and_no_other() -> None:
    assert re.findall(r"### `(rayfleet_.*)`", MANUAL) == [_signature(name) for name in HOOKS]


def test_every_hook_says_when_it_is_called_what_may_be_raised_and_who_owns_the_result() -> None:
    for name, hook in HOOKS.items():
        words = re.findall(r"^ *(Called|Raises|Owner|:return): ", inspect.getdoc(hook) or "", flags=re.MULTILINE)
        assert words == ["Called", "Raises", "Owner", ":return"], name


def test_the_manual_names_every_field_of_a_frame_and_no_other() -> None:
    table = _section("rayfleet_engines").split("| field of `Frame` |")[1].split("\n\n")[0]
    fields = {field.name for field in dataclasses.fields(Frame)}
    assert sorted(re.findall(r"^\| `(\w+)` ", table, flags=re.MULTILINE)) == sorted(fields)


def test_the_example_engine_is_usable() -> None:
    engine = _loaded().engines["echo"]
    serving = Serving(engine="echo", model="m", served_model_name="m")
    assert engine.problems(serving) == ()
    assert isinstance(engine.launch_plan(serving), LaunchPlan)
    two = Serving(engine="echo", model="m", served_model_name="m", nodes=2)
    assert [str(problem) for problem in engine.problems(two)] == ["spec.serving.nodes: echo works on one node, not 2"]


@pytest.mark.parametrize("check", CHECKS)
def test_the_example_engine_keeps_its_promises(suite: EngineSuite, check: str, tmp_path: Path) -> None:
    method = getattr(suite, f"test_{check}")
    method(tmp_path) if "tmp_path" in method.__annotations__ else method()


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


def test_the_example_reader_is_usable() -> None:
    reader = _loaded().command_readers["echo"]
    assert reader.read(["echo-server", "--parrots", "3", "--port=80"]) == EngineCommand(
        engine="echo", tensor=3, port=80
    )
    assert reader.read(["sleep", "1"]) is None
    assert "ships no Ray" in reader.image_lack("registry.example/echo:1")
    assert reader.image_risks("registry.example/echo:1") != reader.image_risks("registry.example/echo:2") == []


SCORER, SCORER_TEST = _codes("rayfleet_scorers")


@pytest.fixture
def scorer_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScorerSuite]:
    """Yield the example's suite for the example's scorer."""
    _in_a_file(tmp_path, monkeypatch, "sticky_plugin", SCORER)
    made: ScorerSuite = vars(_module("test_sticky", SCORER_TEST))["TestSticky"]()
    yield made
    sys.modules.pop("sticky_plugin", None)


@pytest.mark.parametrize("check", [name for name in dir(ScorerSuite) if name.startswith("test_")])
def test_the_example_scorer_keeps_its_contract(scorer_suite: ScorerSuite, check: str) -> None:
    getattr(scorer_suite, check)()


def test_the_example_scorer_is_seen_to_change_where_requests_go() -> None:
    """Sessions are spread over the endpoints, and each stays where it is; without the profile it goes anywhere."""
    registry = load(disabled=PLUGINS, extra={"sticky": _module("sticky", SCORER)})
    profiles = Profiles(Contributed(scorers=registry.scorers), clock=lambda: 0.0, report=lambda *_: None)
    endpoints = [EndpointState(endpoint=Endpoint(address="10.0.0.1", port=port)) for port in range(1, 5)]

    def places(profile: str, session: str) -> set[EndpointState | None]:
        rule = Rule(match=Match(path="/v1"), route="ns/r", rank=(0,), backends=(), profile=profile)
        request = SampleRequest(headers={"x-session-id": session})
        return {profiles.of(rule).pick(request, endpoints, chance / 40) for chance in range(40)}

    sessions = [places("sticky", f"session-{number}") for number in range(40)]
    assert {len(of_session) for of_session in sessions} == {1}
    assert set().union(*sessions) == set(endpoints)
    assert places("", "session-1") == set(endpoints)


def test_the_example_scorer_has_twenty_lines_at_most() -> None:
    assert len(SCORER.strip().splitlines()) <= 20


@pytest.mark.parametrize("check", [name for name in dir(FilterSuite) if name.startswith("test_")])
def test_the_example_filter_keeps_its_contract(check: str) -> None:
    suite = FilterSuite()
    suite.plugin, suite.name = _module("roomy", _codes("rayfleet_filters")[0]), "roomy"
    getattr(suite, check)()


@pytest.mark.parametrize("check", [name for name in dir(PickerSuite) if name.startswith("test_")])
def test_the_example_picker_keeps_its_contract(check: str) -> None:
    suite = PickerSuite()
    suite.plugin, suite.name = _module("lottery", _codes("rayfleet_pickers")[0]), "lottery"
    getattr(suite, check)()
