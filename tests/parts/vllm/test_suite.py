"""vLLM, on Ray and without, keeps what an engine plugin promises, also with a model that has to be brought."""

from types import MappingProxyType

import rayfleet_vllm.plugin
from rayfleet.model.serving import Parallelism, Serving
from rayfleet.testing.suites.engine import EngineSuite


class TestVllm(EngineSuite):
    plugin = rayfleet_vllm.plugin
    name = "vllm"
    program = "vllm"
    programs = MappingProxyType({"python3": "echo /cache/the-model"})  # what brings a model
    rank_programs = ("vllm",)
    arguments = ("--note", "it's {here} $HOME", "--max-model-len=2048")
    drain_flag = "--shutdown-timeout"

    def serving(self, nodes: int) -> Serving:
        return Serving(
            engine="vllm",
            model="org/name",
            served_model_name="name",
            nodes=nodes,
            image="rayfleet.local/vllm-cpu",
            parallelism=Parallelism(pipeline=nodes),
        )
