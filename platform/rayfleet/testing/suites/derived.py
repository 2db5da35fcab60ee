"""A suite for an engine of which only the plugin is known: what it needs is learnt from its own answers and scripts.

A script says at once which program its image lacks, so an empty image that is filled step by step shows what the engine
is. On how many nodes it works, with Ray and without, is what it has no problem with. A plugin whose scripts want more
than programs that start and stay needs a suite of its own, written by who knows the engine; so does one that refuses
the plainest fleets or arguments that it does not know, unless its module names some (``rayfleet_sample_args``).
"""

import itertools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from rayfleet.model.engine import NodeLaunch
from rayfleet.model.errors import FieldError
from rayfleet.model.serving import Backend, NodeResources, Parallelism, Serving
from rayfleet.plugin.contracts import Engine, sample_args_of
from rayfleet.testing.launching import Image, real
from rayfleet.testing.suites.engine import EngineSuite
from rayfleet.testing.suites.engine.promises import switch

Learnt = TypeVar("Learnt")
_MOST_PROGRAMS = 8
_MOST_NODES = 2
_MODELS = ("org/name", "/models/name", "/models/name.gguf")
_UNKNOWN = ("--a-flag", "a value")
_IMAGE = "registry.example/image:1"  # of which nothing is known, so that Ray is the usual way
_LACK = "rayfleet: this image has no '"


class RefusesThePlainest(LookupError):
    """The engine takes no fleet of which no more is said than a model, an image, and perhaps an accelerator."""


def derived_suite(plugin: ModuleType, name: str) -> type[EngineSuite]:
    """Return a suite for the engine ``name`` of ``plugin``.

    What an engine does not answer well, or not at all, is left for the checks to tell. Raises RefusesThePlainest, with
    the engine's own words.
    """

    class Derived(EngineSuite):
        """What could be learnt of the engine."""

        arguments: tuple[str, ...] = _UNKNOWN
        drain_flag = None
        node_counts: tuple[int, ...] = (1,)
        plainest = Serving(engine=name, model=_MODELS[0], served_model_name="name", image=_IMAGE)

        def serving(self, nodes: int) -> Serving:
            return replace(self.plainest, nodes=nodes, parallelism=Parallelism(pipeline=nodes))

        def reaching(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
            return arguments[len(self.plainest.arguments) :]  # what becomes of a command is the engine's business

    Derived.plugin, Derived.name, Derived.program = plugin, name, ""
    if Derived().asked_anew(Derived().most).is_endless:
        return Derived  # asked here it would not come to an end
    Derived.plainest, Derived.arguments = _taken(Derived().engine, Derived.plainest, sample_args_of(plugin))
    Derived.sets_flags = not Derived.plainest.arguments
    programs = _learnt(lambda: _programs(Derived().engine.launch_plan(Derived().most).head))
    Derived.program = programs[0] if programs else ""
    Derived.programs = dict.fromkeys(programs[1:], "exit 0")
    Derived.rank_programs = _learnt(lambda: _rank_programs(Derived()))
    if Derived.rank_programs:
        Derived.node_counts = (1, _MOST_NODES)
    switch(Derived)
    return Derived


def _taken(engine: Engine, plain: Serving, sample: tuple[str, ...]) -> tuple[Serving, tuple[str, ...]]:
    """Return the first of the plainest fleets that the engine takes, and arguments that it takes there.

    To take it is to have no problem with it, or no proper answer. A sample that is a command comes before arguments.
    """
    commands = ((), sample) if sample else ((),)
    plainest = [
        replace(plain, model=model, arguments=command, resources=NodeResources(accelerators=accelerators))
        for command, model, accelerators in itertools.product(commands, _MODELS, (0, 1))
    ]
    taken = _first_taken(engine, plainest, "refuses the plainest fleet, of which only its name is known")
    more = [(*taken.arguments, *_UNKNOWN), *([sample] if sample and not taken.arguments else [])]
    words = "takes a fleet without arguments, and refuses some that it does not know"
    return taken, _first_taken(engine, [replace(taken, arguments=each) for each in more], words).arguments


def _first_taken(engine: Engine, servings: Sequence[Serving], words: str) -> Serving:
    refusals = []
    for serving in servings:
        problems = _learnt(partial(engine.problems, serving))
        if not problems or not all(isinstance(problem, FieldError) for problem in problems):
            return serving
        refusals.append("; ".join(map(str, problems)))
    raise RefusesThePlainest(
        f"{engine.name} {words}: {refusals[0]}. Check a suite of its own (`rayfleet plugins new` shows one), or name "
        "arguments that it takes in its module, as in rayfleet_sample_args = ('--threads', '2')"
    )


def _learnt(learn: Callable[[], tuple[Learnt, ...]]) -> tuple[Learnt, ...]:
    try:
        return learn()
    except (Exception, SystemExit):  # noqa: BLE001 - whatever a plugin raises is its fault, and a check tells of it
        return ()


def _rank_programs(suite: EngineSuite) -> tuple[str, ...]:
    """Return the engine's programs on a head and on a rank without Ray; none where it cannot span nodes on both."""
    serving = replace(suite.serving(_MOST_NODES), backend=Backend.MP)
    if suite.engine.problems(suite.serving(_MOST_NODES)) or suite.engine.problems(serving):
        return ()
    plan = suite.engine.launch_plan(serving)
    own = [_programs(node)[0] for node in (plan.head, *plan.ranks)]
    return tuple(dict.fromkeys(own)) if plan.ranks else ()


def _programs(node: NodeLaunch) -> tuple[str, ...]:
    """Return what a node's script looks for besides Ray, in its order; the first is the engine."""
    programs: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        image = Image(folder=Path(folder))
        image.add("ray", "exit 0")
        while len(programs) < _MOST_PROGRAMS:
            with image.running(node) as script:
                output = script.ended().output
            program = output.partition(_LACK)[2].partition("'")[0]
            if not program:
                break
            programs.append(program)
            image.add(program, f"exec {real('sleep')} 0.01")
    return tuple(programs)
