"""No bad plugin breaks or blocks a reconcile: its own fleets are told, and all others get their templates.

Each is installed as pip would, beside one without fault, and the controllers' own way to engines and templates is gone.
"""

import importlib
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rayfleet.controllers.run import usable_plugins
from rayfleet.model.engine import EngineCommand
from rayfleet.model.errors import ManifestError, Overdue
from rayfleet.model.fleet import Fleet, FleetSpec, Selector
from rayfleet.model.meta import ObjectMeta
from rayfleet.model.serving import Serving
from rayfleet.planning.render import fleet_template
from rayfleet.plugin import bounded
from rayfleet.plugin.bounded import BoundedEngine, BoundedReader
from rayfleet.plugin.watch import Watch
from rayfleet.testing.bad_plugins import BAD_PLUGINS, BadPlugin, good_source
from rayfleet.testing.toy_engine import Toy, having

NUMBER: Any = 3
OURS = ("llamacpp", "models", "openai", "sglang", "trtllm")


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGURG)
    yield
    signal.signal(signal.SIGURG, before)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a folder whose packages are installed."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("zoo_"):
            del sys.modules[name]


def install(folder: Path, name: str, source: str) -> None:
    (folder / f"{name}.py").write_text(source, encoding="utf-8")
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[rayfleet.plugins]\n{name} = {name}\n", encoding="utf-8")
    importlib.invalidate_caches()


def fleet(engine: str, name: str = "f") -> Fleet:
    serving = Serving(engine=engine, model="org/name", served_model_name="name")
    spec = FleetSpec(selector=Selector(match_labels={"a": "b"}), serving=serving)
    return Fleet(meta=ObjectMeta(name=name, namespace="default"), spec=spec)


@pytest.mark.parametrize("plugin", BAD_PLUGINS, ids=lambda plugin: plugin.title)
def test_beside_a_bad_plugin_other_fleets_get_their_templates(plugin: BadPlugin, site: Path) -> None:
    install(site, "zoo_bad", plugin.source)
    install(site, "zoo_good", good_source().replace('"bad"', '"good"'))
    engines = usable_plugins(OURS).engines
    assert fleet_template(fleet("good"), engines).spec
    for _ in range(2):  # the second time is the next pass
        with suppress(ManifestError):
            assert fleet_template(fleet("bad"), engines).spec
    assert fleet_template(fleet("good"), engines) == fleet_template(fleet("good"), engines)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


SERVING = Serving(engine="toy", model="org/name", served_model_name="name")


@pytest.mark.parametrize(
    ("toy", "words"),
    [
        (having(problems=lambda _: 1 // 0)(Toy()), "problems() raised ZeroDivisionError"),
        (having(problems=lambda _: sys.exit(3))(Toy()), "problems() raised SystemExit: 3"),
        (having(problems=lambda _: None)(Toy()), "what problems() returned is NoneType None, not a tuple"),
        (having(problems=lambda _: ("no",))(Toy()), "what problems() returned[0] is str 'no', not a FieldError"),
        (having(launch_plan=lambda _: 1 // 0)(Toy()), "launch_plan() raised ZeroDivisionError"),
        (having(launch_plan=lambda _: {})(Toy()), "what launch_plan() returned is dict {}, not a LaunchPlan"),
        (
            having(launch_plan=lambda each: replace(Toy().launch_plan(each), image=NUMBER))(Toy()),
            "returned.image is int 3",
        ),
    ],
)
def test_what_an_engine_gets_wrong_is_a_problem_of_its_fleet(toy: Toy, words: str) -> None:
    engine = BoundedEngine(toy, Watch())
    (problem,) = engine.problems(SERVING)
    assert problem.path == "spec.serving.engine"
    assert words in problem.message
    assert "rayfleet plugins check toy" in problem.message


def test_an_engine_without_fault_is_asked_as_it_is() -> None:
    engine = BoundedEngine(Toy(), Watch())
    assert engine.problems(replace(SERVING, nodes=9)) == Toy().problems(replace(SERVING, nodes=9))
    assert engine.problems(SERVING) == ()
    assert engine.launch_plan(SERVING) == Toy().launch_plan(SERVING)
    assert (engine.name, engine.model_format) == ("toy", None)


def test_an_engine_that_did_not_end_is_not_asked_again_for_a_while() -> None:
    asked, clock = [], Clock()

    def hangs(serving: Serving) -> tuple[()]:
        asked.append(serving)
        raise Overdue

    engine = BoundedEngine(having(problems=hangs)(Toy()), Watch(), clock)
    for _ in range(3):
        assert "did not end" in engine.problems(SERVING)[0].message
    assert len(asked) == 1
    clock.now += bounded.OFF_SECONDS
    engine.problems(SERVING)
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda _: 1 // 0, "raised ZeroDivisionError"),
        (lambda _: sys.exit(3), "raised SystemExit: 3"),
        (lambda _: "vllm", "what it returned is str 'vllm', not"),
        (lambda _: EngineCommand(engine=NUMBER), "what it returned.engine is int 3"),
    ],
)
def test_what_a_reader_gets_wrong_is_nothing_read_and_a_line_of_the_log(
    read: Callable[[Sequence[str]], EngineCommand | None], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    reader = BoundedReader(having(read=read)(Toy()), Watch())
    assert reader.read(["toy"]) is None
    assert words in "".join(record.__dict__["reason"] for record in caplog.records)


def test_a_reader_without_fault_is_asked_as_it_is() -> None:
    reader = BoundedReader(Toy(), Watch())
    assert reader.read(["toy", "--port", "9"]) == Toy().read(["toy", "--port", "9"])
    assert reader.read(["other"]) is None
    assert (reader.name, reader.image_lack("example/toy:0")) == ("toy", Toy().image_lack("example/toy:0"))
    assert reader.image_risks("example/toy:0") == Toy().image_risks("example/toy:0")


def test_a_reader_that_did_not_end_is_not_asked_again_for_a_while() -> None:
    asked, clock = [], Clock()

    def hangs(words: Sequence[str]) -> None:
        asked.append(words)
        raise Overdue

    reader = BoundedReader(having(read=hangs)(Toy()), Watch(), clock)
    assert [reader.read(["toy"]) for _ in range(3)] == [None] * 3
    assert len(asked) == 1
    clock.now += bounded.OFF_SECONDS
    reader.read(["toy"])
    assert len(asked) == 2
