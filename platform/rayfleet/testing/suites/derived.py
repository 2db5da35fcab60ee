"""A suite for an engine of which only the plugin is known: what it needs is learnt from its own answers and scripts.

A script says at once which program its image lacks, so an empty image that is filled step by step shows what the engine
is. On how many nodes it works, with Ray and without, is what it has no problem with. A plugin whose scripts want more
than programs that start and stay needs a suite of its own, written by who knows the engine.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from rayfleet.model.engine import NodeLaunch
from rayfleet.model.serving import Backend, Parallelism, Serving
from rayfleet.testing.launching import Image, real
from rayfleet.testing.suites.engine import EngineSuite
from rayfleet.testing.suites.engine.promises import switch

_MOST_PROGRAMS = 8
_MOST_NODES = 2
_IMAGE = "registry.example/image:1"  # of which nothing is known, so that Ray is the usual way
_LACK = "rayfleet: this image has no '"


def derived_suite(plugin: ModuleType, name: str, model: str = "org/name") -> type[EngineSuite]:
    """Return a suite for the engine ``name`` of ``plugin``, without arguments of its own.

    What an engine does not answer well, or not at all, is left for the checks to tell.
    """

    class Derived(EngineSuite):
        """What could be learnt of the engine."""

        arguments = ("--a-flag", "a value")
        drain_flag = None
        node_counts: tuple[int, ...] = (1,)

        def serving(self, nodes: int) -> Serving:
            return Serving(
                engine=name,
                model=model,
                served_model_name="name",
                nodes=nodes,
                image=_IMAGE,
                parallelism=Parallelism(pipeline=nodes),
            )

    Derived.plugin, Derived.name, Derived.program = plugin, name, ""
    if Derived().asked_anew(Derived().most).is_endless:
        return Derived  # asked here it would not come to an end
    programs = _learnt(lambda: _programs(Derived().engine.launch_plan(Derived().most).head))
    Derived.program = programs[0] if programs else ""
    Derived.programs = dict.fromkeys(programs[1:], "exit 0")
    Derived.rank_programs = _learnt(lambda: _rank_programs(Derived()))
    if Derived.rank_programs:
        Derived.node_counts = (1, _MOST_NODES)
    switch(Derived)
    return Derived


def _learnt(learn: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
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
