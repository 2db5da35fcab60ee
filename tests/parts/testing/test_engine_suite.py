"""Each check of the suite for engines can fail: an engine that is wrong in one way is caught by the check for it."""

import importlib
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rayfleet.model.engine import EngineProbe, LaunchPlan, NodeLaunch, TrafficMetrics
from rayfleet.model.errors import FieldError, RayfleetError
from rayfleet.model.serving import Serving
from rayfleet.plugin.arguments import OF_THE_PLAN, drain_problems, flag_problems
from rayfleet.plugin.contracts import ModelFormat
from rayfleet.plugin.frame import RAY_VERSION, Frame, head_launch, worker_launch
from rayfleet.plugin.hookspecs import hookimpl
from rayfleet.testing.suites.engine import EngineSuite

CHECKS = {name.removeprefix("test_") for name in dir(EngineSuite) if name.startswith("test_")}
# Long enough for what a good script does, and no longer than a test may wait for a bad one.
LIMIT_SECONDS = 1.0

Fault = Callable[["Toy"], "Toy"]
PlanFault = Callable[[LaunchPlan, Serving], LaunchPlan]


class Toy:
    """Keeps every promise, until a fault is put in."""

    name = "toy"
    model_format: ModelFormat | None = None

    def __init__(self) -> None:
        self.faults: list[PlanFault] = []
        self.path = "spec.serving.args"
        self.refused: Mapping[str, str] = dict.fromkeys(("--model", "--name", "--host", "--port"), OF_THE_PLAN)
        self.most_nodes = 8
        self.checks_drain = True
        self.command = 'toy {names} --host "$POD_IP" --port 8000 {arguments}'
        self.quote: Callable[[str], str] = shlex.quote

    def problems(self, serving: Serving) -> tuple[FieldError, ...]:
        problems = [
            *flag_problems(serving.arguments, self.refused),
            *(drain_problems("--drain", _drain(serving)) if self.checks_drain else ()),
        ]
        if serving.nodes > self.most_nodes:
            problems.append(FieldError(path="spec.serving.nodes", message="too many"))
        return tuple(replace(each, path=each.path.replace("spec.serving.args", self.path)) for each in problems)

    def launch_plan(self, serving: Serving) -> LaunchPlan:
        names = f"--model {self.quote(serving.model)} --name {self.quote(serving.served_model_name)}"
        frame = Frame(
            command=self.command.format(names=names, arguments=" ".join(map(self.quote, serving.arguments))),
            programs=("toy", "helper"),
            way_out="Name another in spec.serving.image.",
            drain_seconds=_drain(serving),
        )
        plan = LaunchPlan(
            image="example/toy:1",
            ray_version=RAY_VERSION,
            head=head_launch(frame, {}),
            worker=worker_launch(frame, {}),
            probe=EngineProbe(nodes_port=8081),
        )
        for fault in self.faults:
            plan = fault(plan, serving)
        return plan


def _drain(serving: Serving) -> float:
    arguments = serving.arguments
    return float(arguments[arguments.index("--drain") + 1]) if "--drain" in arguments else 0


class ToySuite(EngineSuite):
    name = "toy"
    program = "toy"
    arguments = ("--loud", "it's $HOME")
    drain_flag = "--drain"
    programs: Mapping[str, str] = {"helper": "exit 0"}

    def __init__(self, plugin: ModuleType, limit_seconds: float = LIMIT_SECONDS) -> None:
        self.plugin = plugin
        self.limit_seconds = limit_seconds

    def serving(self, nodes: int) -> Serving:
        return Serving(engine="toy", model="org/name", served_model_name="name", nodes=nodes)


def plugin_of(engine: Any) -> ModuleType:
    module = ModuleType("toy_plugin")
    module.rayfleet_engines = hookimpl(lambda: (engine,))  # type: ignore[attr-defined] # a hook, as any module has it
    return module


def having(**values: Any) -> Fault:
    """Return a fault in the engine itself."""

    def spoilt(toy: Toy) -> Toy:
        assert all(hasattr(toy, name) for name in values)
        vars(toy).update(values)
        return toy

    return spoilt


def planning(fault: PlanFault) -> Fault:
    """Return a fault in the launch plan."""

    def spoilt(toy: Toy) -> Toy:
        toy.faults.append(fault)
        return toy

    return spoilt


def probing(**values: Any) -> Fault:
    return planning(lambda plan, _: replace(plan, probe=replace(plan.probe, **values)))


def launching(**values: Any) -> Fault:
    """Return a fault in how both kinds of nodes are started."""
    return planning(
        lambda plan, _: replace(plan, head=replace(plan.head, **values), worker=replace(plan.worker, **values))
    )


def scripting(spoil: Callable[[str, Serving], str]) -> Fault:
    def spoilt(node: NodeLaunch, serving: Serving) -> NodeLaunch:
        return replace(node, script=spoil(node.script, serving))

    return planning(
        lambda plan, serving: replace(plan, head=spoilt(plan.head, serving), worker=spoilt(plan.worker, serving))
    )


def saying(*pairs: tuple[str, str]) -> Fault:
    """Return a fault in the scripts: each of the texts stands in one of them, and something else in its place."""

    def spoilt(plan: LaunchPlan, _: Serving) -> LaunchPlan:
        head, worker = plan.head.script, plan.worker.script
        for text, other in pairs:
            assert text in head + worker, text
            head, worker = head.replace(text, other), worker.replace(text, other)
        return replace(plan, head=replace(plan.head, script=head), worker=replace(plan.worker, script=worker))

    return planning(spoilt)


NO_TRAP = saying(("trap 'stop=1' TERM INT\n", ""))
KILLS_ALL = 'kill -KILL "$timer" $family $(trees "$@") 2>/dev/null'

FAULTS: tuple[tuple[str, str, Fault], ...] = (
    ("its_plugin_contributes_it", "a name that no registry takes", having(name="Toy!")),
    ("what_it_can_do_has_no_problem", "one node", having(most_nodes=1)),
    ("its_image_and_its_ray_are_named", "no image", planning(lambda plan, _: replace(plan, image=""))),
    ("its_image_and_its_ray_are_named", "no image's name", planning(lambda plan, _: replace(plan, image="Toy 1"))),
    ("its_image_and_its_ray_are_named", "any Ray", planning(lambda plan, _: replace(plan, ray_version="2"))),
    ("the_sidecar_can_ask_it", "no root", probing(health_path="health")),
    ("the_sidecar_can_ask_it", "an address", probing(metrics_path="http://localhost/metrics")),
    ("its_series_can_be_told_to_the_sidecar", "two in one", probing(traffic=TrafficMetrics(running=("a b",)))),
    ("its_series_can_be_told_to_the_sidecar", "half a label", probing(traffic=TrafficMetrics(running=("a{b=c}",)))),
    ("its_series_can_be_told_to_the_sidecar", "steps of what", probing(traffic=TrafficMetrics(steps=("a",)))),
    ("its_ports_are_its_own", "the sidecar's", probing(port=8080)),
    ("its_ports_are_its_own", "Ray's", probing(nodes_port=6379)),
    ("its_ports_are_its_own", "the node manager's", probing(nodes_port=6380)),
    ("its_ports_are_its_own", "no port", probing(port=70000)),
    ("its_ray_cluster_is_accepted", "a number", launching(ray_start_params={"num-gpus": 1})),
    ("nothing_listens_on_every_address", "a script", saying(('"$POD_IP"', "0.0.0.0"))),
    ("nothing_listens_on_every_address", "a variable", launching(environment={"HOST": "[::]"})),
    ("it_sets_nothing_that_others_set", "a variable", launching(environment={"RAY_ADDRESS": "auto"})),
    ("it_sets_nothing_that_others_set", "a flag", launching(ray_start_params={"port": "6379"})),
    ("it_sets_nothing_that_others_set", "dashes", launching(ray_start_params={"--num-gpus": "1"})),
    ("it_writes_no_secret_down", "a variable", launching(environment={"HF_TOKEN": "x"})),
    ("it_writes_no_secret_down", "a script", scripting(lambda text, serving: f"{text}# {serving.environment}\n")),
    ("its_scripts_are_bash", "half a loop", scripting(lambda text, _: f"{text}while true; do\n")),
    ("kubernetes_leaves_its_scripts_as_they_are", "a variable", scripting(lambda text, _: f"{text}now=$(date)\n")),
    ("kubernetes_leaves_its_scripts_as_they_are", "two dollars", scripting(lambda text, _: f"{text}echo $$\n")),
    ("arguments_reach_it_unchanged", "no quotes", having(quote=str)),
    ("arguments_reach_it_unchanged", "first", having(command='toy {arguments} {names} --host "$POD_IP" --port 8000')),
    ("a_name_cannot_break_out_of_the_shell", "no quotes", having(quote=str)),
    ("a_name_cannot_break_out_of_the_shell", "double quotes", having(quote=lambda text: f'"{text}"')),
    ("its_api_is_where_the_sidecar_asks", "another port", probing(port=8001)),
    ("its_api_is_where_the_sidecar_asks", "another address", saying(('"$POD_IP"', "127.0.0.1"))),
    ("its_own_flags_are_refused_with_their_field", "taken", having(refused={})),
    ("its_own_flags_are_refused_with_their_field", "one is taken", having(refused={"--model": "x", "--host": "x"})),
    ("its_own_flags_are_refused_with_their_field", "no such field", having(path="spec.serving.arguments")),
    ("help_is_refused_with_its_field", "no such field", having(path="spec.serving.arguments")),
    ("a_drain_ends_before_the_pod_is_killed", "as long as it likes", having(checks_drain=False)),
    ("a_drain_ends_before_the_pod_is_killed", "a long end", saying(("end_limit=", "end_limit=1"))),
    ("a_drain_ends_before_the_pod_is_killed", "no drain", saying(('start_timer "$end_limit"', "start_timer 10"))),
    ("a_drain_ends_before_the_pod_is_killed", "no such field", having(path="spec.serving.arguments")),
    ("a_head_ends_with_the_status_of_the_engine", "its own", saying(('exit "$status"', "exit 1"))),
    ("an_engine_that_ends_well_by_itself_has_failed", "well", saying(('[ "$status" != 0 ] || status=1\n', ""))),
    ("a_head_ends_with_ray", "it goes on", saying(('while all_live "$ray" "$engine"', 'while all_live "$engine"'))),
    ("a_head_lets_the_engine_finish_at_sigterm", "not heard", NO_TRAP),
    ("a_head_lets_the_engine_finish_at_sigterm", "not passed on", saying(('[ -n "$timer" ] || end_engine', "break"))),
    ("a_head_lets_the_engine_finish_at_sigterm", "Ray first", saying(('family=$(trees "$engine")', 'kill "$ray"'))),
    ("a_head_kills_an_engine_that_hangs_at_sigterm", "no limit", saying(('start_timer "$end_limit"', "timer=$engine"))),
    (
        "a_head_kills_an_engine_that_hangs_at_sigterm",
        "its child lives",
        saying((KILLS_ALL, 'kill -KILL "$timer" "$@"'), ('kill -KILL $(trees "$engine")', 'kill -KILL "$engine"')),
    ),
    ("a_head_leaves_at_a_sigterm_that_comes_early", "not heard", NO_TRAP),
    ("a_head_forgets_the_address_of_its_former_life", "kept", saying(('rm -f "$temp/ray_current_cluster"', ":"))),
    ("rays_daemons_do_not_outlive_a_head", "Ray alone", saying((KILLS_ALL, 'kill -KILL "$timer" "$@"'))),
    ("rays_daemons_do_not_outlive_a_worker", "Ray alone", saying((KILLS_ALL, 'kill -KILL "$timer" "$@"'))),
    ("a_worker_ends_with_ray", "it goes on", saying(('lives "$ray" && ', ""), ('all_live "$ray" ', "all_live "))),
    ("a_worker_leaves_at_sigterm", "not heard", NO_TRAP),
    ("a_worker_gives_up_a_dead_head", "never", saying(("      break\n", ""))),
    ("a_worker_stays_with_a_head_that_lives", "never asked", saying(("if timeout 2", "if false timeout 2"))),
    ("an_image_that_lacks_a_program_is_told_which", "started", saying(("  exit 1\ndone", "done"))),
    ("an_image_that_lacks_a_program_is_told_which", "not looked for", saying(("ray toy helper", "ray toy"))),
)  # fmt: skip
# What a process of its own is asked for is imported there: these are files.
FILE_FAULTS = (
    ("it_is_imported_without_its_engine", "import click\n", ""),
    ("it_is_imported_without_its_engine", "import asyncio\n", ""),
    ("its_answers_follow_from_the_serving_alone", "", "'ORDER': ','.join({'a', 'b', 'c', 'd', 'e', 'f', 'g'})"),
)
PLUGIN = """\
{imports}
from rayfleet.model.engine import EngineProbe, LaunchPlan, NodeLaunch
from rayfleet.plugin.hookspecs import hookimpl


class Toy:
    name = "toy"
    model_format = None

    def problems(self, serving):
        return ()

    def launch_plan(self, serving):
        node = NodeLaunch(script="true", environment={{{environment}}})
        return LaunchPlan(image="toy", ray_version="2.60.0", head=node, worker=node, probe=EngineProbe())


@hookimpl
def rayfleet_engines():
    return (Toy(),)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], ModuleType]]:
    """Yield what makes a plugin of a file."""
    monkeypatch.syspath_prepend(tmp_path)

    def made(imports: str, environment: str) -> ModuleType:
        (tmp_path / "toy_file.py").write_text(PLUGIN.format(imports=imports, environment=environment))
        importlib.invalidate_caches()
        return importlib.import_module("toy_file")

    yield made
    sys.modules.pop("toy_file", None)


def run(suite: EngineSuite, check: str, folder: Path) -> None:
    method = getattr(suite, f"test_{check}")
    method(folder) if "tmp_path" in method.__annotations__ else method()


def test_every_check_has_an_engine_that_fails_it() -> None:
    assert {check for check, *_ in (*FAULTS, *FILE_FAULTS)} == CHECKS


@pytest.mark.parametrize(
    ("check", "fault"), [(check, fault) for check, _, fault in FAULTS], ids=[f"{c}: {n}" for c, n, _ in FAULTS]
)
def test_a_faulty_engine_is_caught(check: str, fault: Fault, tmp_path: Path) -> None:
    suite = ToySuite(plugin_of(fault(Toy())))
    with pytest.raises((AssertionError, RayfleetError)):
        run(suite, check, tmp_path)


@pytest.mark.parametrize(("check", "imports", "environment"), FILE_FAULTS)
def test_a_faulty_module_is_caught(
    module: Callable[[str, str], ModuleType], check: str, imports: str, environment: str, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError):
        run(ToySuite(module(imports, environment)), check, tmp_path)


@pytest.mark.parametrize("check", sorted(CHECKS - {check for check, *_ in FILE_FAULTS}))
def test_an_engine_without_fault_passes(check: str, tmp_path: Path) -> None:
    run(ToySuite(plugin_of(Toy()), limit_seconds=20), check, tmp_path)


@pytest.mark.parametrize("check", sorted({check for check, *_ in FILE_FAULTS}))
def test_a_module_without_fault_passes(module: Callable[[str, str], ModuleType], check: str, tmp_path: Path) -> None:
    run(ToySuite(module("", ""), limit_seconds=20), check, tmp_path)
