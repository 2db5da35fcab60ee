"""SGLang, on Ray and without, keeps what an engine plugin promises."""

from types import MappingProxyType

import rayfleet_sglang.plugin
from rayfleet.model.serving import Backend, Parallelism, Serving
from rayfleet.testing.suites.engine import EngineSuite


class TestSglang(EngineSuite):
    plugin = rayfleet_sglang.plugin
    name = "sglang"
    program = "sglang"
    programs = MappingProxyType({"python3": "exit 0"})
    rank_programs = ("sglang",)
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
