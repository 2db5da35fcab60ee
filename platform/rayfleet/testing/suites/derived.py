"""A suite for an engine of which only the plugin is known: what it needs is learnt from its own script.

The head's script says at once which program its image lacks, so an empty image that is filled step by step shows what
the engine is. A plugin whose scripts want more than programs that start and stay needs a suite of its own, written by
who knows the engine; then the checks that run scripts are off, and whoever asked is told.
"""

import tempfile
from pathlib import Path
from types import ModuleType

from rayfleet.model.serving import Parallelism, Serving
from rayfleet.testing.launching import Image, real
from rayfleet.testing.suites.engine import EngineSuite

_MOST_PROGRAMS = 8
_LACK = "rayfleet: this image has no '"


def derived_suite(plugin: ModuleType, name: str, model: str = "org/name") -> type[EngineSuite]:
    """Return a suite for the engine ``name`` of ``plugin``; on one node, without arguments of its own."""

    class Derived(EngineSuite):
        """What could be learnt of the engine."""

        arguments = ("--a-flag", "a value")
        drain_flag = None
        node_counts = (1,)

        def serving(self, nodes: int) -> Serving:
            return Serving(
                engine=name, model=model, served_model_name="name", nodes=nodes, parallelism=Parallelism(pipeline=nodes)
            )

    Derived.plugin, Derived.name, Derived.program = plugin, name, ""
    programs = _programs(Derived())
    Derived.program = programs[0] if programs else ""
    Derived.programs = dict.fromkeys(programs[1:], "exit 0")
    return Derived


def _programs(suite: EngineSuite) -> list[str]:
    """Return what the head's script looks for besides Ray, in its order; the first is the engine."""
    node = suite.engine.launch_plan(suite.most).head
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
    return programs
