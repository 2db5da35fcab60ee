"""A toy engine that keeps every promise of the suite, and ways to spoil it: each makes it wrong in one way.

The suite's own tests hold each check to an engine that fails it. The toy is an object of the test's own process;
what is asked in a process of its own is tried with the plugins of bad_plugins.py, which are files.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

from rayfleet.model.engine import EngineCommand, EngineProbe, LaunchPlan, NodeLaunch, TrafficMetrics
from rayfleet.model.errors import FieldError
from rayfleet.model.serving import Backend, Serving
from rayfleet.plugin.arguments import OF_THE_PLAN, drain_problems, flag_problems, flag_value
from rayfleet.plugin.contracts import CONTRACT, ModelFormat
from rayfleet.plugin.frame import RAY_VERSION, Frame, head_launch, worker_launch
from rayfleet.plugin.hookspecs import hookimpl
from rayfleet.plugin.rank_frame import rank_launches
from rayfleet.testing.suites.engine import EngineSuite

# Long enough for what a good script does, and no longer than a test may wait for a bad one.
LIMIT_SECONDS = 1.0
PAGE = """\
# TYPE toy_running gauge
toy_running 1
# TYPE toy_waiting gauge
toy_waiting 0
# TYPE toy_tokens_total counter
toy_tokens_total 7
"""

TRAFFIC = TrafficMetrics(running=("toy_running",), waiting=("toy_waiting",), steps=("toy_tokens_total",))

Fault = Callable[["Toy"], "Toy"]
PlanFault = Callable[[LaunchPlan, Serving], LaunchPlan]


class Toy:
    """Keeps every promise, until a fault is put in; its own command reader too."""

    name = "toy"
    model_format: ModelFormat | None = None

    def __init__(self) -> None:
        self.faults: list[PlanFault] = []
        self.path = "spec.serving.args"
        self.refused: Mapping[str, str] = dict.fromkeys(("--model", "--name", "--host", "--port"), OF_THE_PLAN)
        self.most_nodes = 8
        self.checks_drain = True
        self.command = 'toy {names} --host "$POD_IP" --port 8000 {arguments}'
        self.rank_words = '--rank {rank} --meet "$head_address:$rendezvous"'
        self.has_ranks = True
        self.quote: Callable[[str], str] = shlex.quote
        self.page = PAGE
        self.hook: Callable[[Toy], object] = lambda toy: (toy,)
        self.members: Mapping[str, object] = {}

    def problems(self, serving: Serving) -> tuple[FieldError, ...]:
        """Return what the toy cannot do; see Engine."""
        problems = [
            *flag_problems(serving.arguments, self.refused),
            *(drain_problems("--drain", _drain(serving)) if self.checks_drain else ()),
        ]
        if serving.nodes > self.most_nodes:
            problems.append(FieldError(path="spec.serving.nodes", message="too many"))
        return tuple(replace(each, path=each.path.replace("spec.serving.args", self.path)) for each in problems)

    def launch_plan(self, serving: Serving) -> LaunchPlan:
        """Return a plan with the faults; see Engine."""
        is_alone = serving.backend is Backend.MP and self.has_ranks
        frames = [self._frame(serving, rank if is_alone else None) for rank in range(serving.nodes)]
        head, *ranks = rank_launches(frames) if is_alone else (head_launch(frames[0], {}),)
        plan = LaunchPlan(
            image="example/toy:1",
            ray_version=RAY_VERSION,
            head=head,
            worker=next(iter(ranks), head) if is_alone else worker_launch(frames[0], {}),
            ranks=tuple(ranks),
            backend=Backend.MP if is_alone else Backend.RAY,
            probe=EngineProbe(nodes_port=8081, traffic=TRAFFIC),
        )
        for fault in self.faults:
            plan = fault(plan, serving)
        return plan

    def _frame(self, serving: Serving, rank: int | None) -> Frame:
        names = f"--model {self.quote(serving.model)} --name {self.quote(serving.served_model_name)}"
        if rank is not None:
            names += f" {self.rank_words.format(rank=rank)}"
        return Frame(
            command=self.command.format(names=names, arguments=" ".join(map(self.quote, serving.arguments))),
            programs=("toy", "helper") if rank is None else ("toy", "helper", "python3"),
            way_out="Name another in spec.serving.image.",
            drain_seconds=_drain(serving),
        )

    def read(self, words: Sequence[str]) -> EngineCommand | None:
        """Return what a command starts; see CommandReader."""
        if words[:1] != ["toy"]:
            return None
        port = flag_value(words, "--port") or ""
        return EngineCommand(engine=self.name, port=int(port) if port.isdecimal() else 8000)

    def image_lack(self, image: str) -> str:
        """Return what an image lacks; see CommandReader."""
        return "ships no toy; use example/toy:1" if image == "example/toy:0" else ""

    def image_risks(self, image: str) -> Sequence[str]:
        """Return the holes of an image; see CommandReader."""
        return ("has a hole, closed in example/toy:1",) if image == "example/toy:0" else ()


class ToySuite(EngineSuite):
    """The suite of the toy, for one that was spoilt or not."""

    name = "toy"
    program = "toy"
    arguments = ("--loud", "it's $HOME")
    drain_flag = "--drain"
    programs: Mapping[str, str] = {"helper": "exit 0"}
    metrics_page = PAGE
    rank_programs = ("toy",)
    command_line = ("toy", "--port", "9000")

    def __init__(self, toy: Toy, limit_seconds: float = LIMIT_SECONDS) -> None:
        self.plugin = plugin_of(toy)
        self.metrics_page = toy.page
        self.limit_seconds = limit_seconds

    def serving(self, nodes: int) -> Serving:
        """Return what the toy can do."""
        return Serving(engine="toy", model="org/name", served_model_name="name", nodes=nodes)


def plugin_of(toy: Toy) -> ModuleType:
    """Return a module that contributes the toy, and whatever a fault put beside it."""
    members = {
        "rayfleet_contract": CONTRACT,
        "rayfleet_engines": hookimpl(lambda: toy.hook(toy)),
        "rayfleet_command_readers": hookimpl(lambda: (toy,)),
        **toy.members,
    }
    module = ModuleType("toy_plugin")
    vars(module).update(members)
    return module


def _drain(serving: Serving) -> float:
    arguments = serving.arguments
    return float(arguments[arguments.index("--drain") + 1]) if "--drain" in arguments[:-1] else 0


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
    """Return a fault in how the sidecar asks."""
    return planning(lambda plan, _: replace(plan, probe=replace(plan.probe, **values)))


def launching(**values: Any) -> Fault:
    """Return a fault in how nodes of all kinds are started."""
    return planning(lambda plan, _: _each_node(plan, lambda node: replace(node, **values)))


def ranking(**values: Any) -> Fault:
    """Return a fault in how the ranks after the head are started without Ray."""

    def spoilt(plan: LaunchPlan, _: Serving) -> LaunchPlan:
        ranks = tuple(replace(rank, **values) for rank in plan.ranks)
        return replace(plan, ranks=ranks, worker=next(iter(ranks), plan.worker))

    return planning(spoilt)


def scripting(spoil: Callable[[str, Serving], str]) -> Fault:
    """Return a fault in all scripts."""
    return planning(
        lambda plan, serving: _each_node(plan, lambda node: replace(node, script=spoil(node.script, serving)))
    )


def saying(*pairs: tuple[str, str]) -> Fault:
    """Return a fault in the scripts: each of the texts stands in one of them, and something else in its place."""

    def other(text: str) -> str:
        for before, after in pairs:
            text = text.replace(before, after)
        return text

    def spoilt(plan: LaunchPlan, _: Serving) -> LaunchPlan:
        scripts = plan.head.script + plan.worker.script
        assert plan.ranks or all(text in scripts for text, _ in pairs), pairs
        return _each_node(plan, lambda node: replace(node, script=other(node.script)))

    return planning(spoilt)


def _each_node(plan: LaunchPlan, change: Callable[[NodeLaunch], NodeLaunch]) -> LaunchPlan:
    return replace(plan, head=change(plan.head), worker=change(plan.worker), ranks=tuple(map(change, plan.ranks)))
