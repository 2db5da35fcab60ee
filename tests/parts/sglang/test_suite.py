"""SGLang on Ray keeps what an engine plugin promises."""

from types import MappingProxyType

import rayfleet_sglang.plugin
from rayfleet.model.serving import Backend, Parallelism, Serving
from rayfleet.testing.suites.engine import EngineSuite
from rayfleet.testing.suites.engine.tested import STAYS

# Stands for the observer of Ray's nodes, and for the wait for them, which is over at once.
PYTHON = f"""
case "${{3:-}}" in
  wait) exit 0 ;;
  *) {STAYS} ;;
esac
"""


class TestSglang(EngineSuite):
    plugin = rayfleet_sglang.plugin
    name = "sglang"
    program = "sglang"
    programs = MappingProxyType({"python3": PYTHON})
    arguments = ("--note", "it's {here} $HOME", "--context-length=2048")
    drain_flag = None

    def serving(self, nodes: int) -> Serving:
        return Serving(
            engine="sglang",
            model="org/name",
            served_model_name="name",
            nodes=nodes,
            image="registry.example/sglang-with-ray:1",
            backend=Backend.RAY,
            parallelism=Parallelism(pipeline=nodes),
        )
