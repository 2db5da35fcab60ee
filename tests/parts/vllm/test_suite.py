"""vLLM on Ray keeps what an engine plugin promises, also with a model that has to be brought."""

from types import MappingProxyType

import rayfleet_vllm.plugin
from rayfleet.model.serving import Parallelism, Serving
from rayfleet.testing.suites.engine import EngineSuite
from rayfleet.testing.suites.engine.tested import STAYS

# Stands for the observer of Ray's nodes, a worker's link to it, the wait for them, which is over at once, and
# for bringing a model.
PYTHON = f"""
case "$1 ${{3:-}}" in
  "-c serve" | "-c link") {STAYS} ;;
  "-c wait") exit 0 ;;
  *) echo /cache/the-model ;;
esac
"""


class TestVllm(EngineSuite):
    plugin = rayfleet_vllm.plugin
    name = "vllm"
    program = "vllm"
    programs = MappingProxyType({"python3": PYTHON})
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
