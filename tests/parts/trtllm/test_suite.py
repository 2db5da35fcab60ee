"""TensorRT-LLM on Ray keeps what an engine plugin promises."""

from types import MappingProxyType

import rayfleet_trtllm.plugin
from rayfleet.model.serving import Backend, NodeResources, Parallelism, Serving
from rayfleet.testing.suites.engine import EngineSuite


class TestTrtLlm(EngineSuite):
    plugin = rayfleet_trtllm.plugin
    name = "trtllm"
    program = "trtllm-serve"
    programs = MappingProxyType({"python3": "exit 0"})
    arguments = ("--note", "it's {here} $HOME", "--max_seq_len=2048")
    drain_flag = None

    def serving(self, nodes: int) -> Serving:
        return Serving(
            engine="trtllm",
            model="org/name",
            served_model_name="name",
            nodes=nodes,
            image="registry.example/trtllm-with-ray:1",
            backend=Backend.RAY,
            resources=NodeResources(accelerators=8),
            parallelism=Parallelism(tensor=8, pipeline=nodes),
        )
