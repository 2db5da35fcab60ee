"""What a person's own command line asks of TensorRT-LLM. Pure. Source: the reference of ``trtllm-serve`` (1.4.0rc4)."""

from collections.abc import Sequence

from rayfleet.model.engine import EngineCommand, EngineProbe
from rayfleet.model.ports import ENGINE_PORT
from rayfleet.plugin.arguments import count_value, is_program
from rayfleet.plugin.model_split import expert_ranks
from rayfleet_trtllm.images import image_facts
from rayfleet_trtllm.metrics import METRICS, METRICS_PATH


class TrtLlmReader:
    """Reads ``trtllm-serve``."""

    name = "trtllm"

    def read(self, words: Sequence[str]) -> EngineCommand | None:
        """Return what a command line starts; see CommandReader. What is no whole number counts as not said."""
        if not is_program(words, "trtllm-serve"):
            return None
        port = count_value(words, ENGINE_PORT, "--port")
        return EngineCommand(
            engine=self.name,
            tensor=count_value(words, 1, "--tp-size", "--tensor-parallel-size"),
            pipeline=count_value(words, 1, "--pp-size", "--pipeline-parallel-size"),
            port=port,
            probe=EngineProbe(port=port, metrics_path=METRICS_PATH),
            metrics=METRICS,
            model=next((word for word in words[1:3] if word[:1] != "-" and word != "serve"), ""),
            expert_ranks=expert_ranks(words, 1),
        )

    def image_lack(self, image: str) -> str:
        """Return what a published image lacks; see CommandReader."""
        facts = image_facts(image)
        return "ships no Ray: build one FROM it with `pip install ray`" if facts is not None else ""

    def image_risks(self, image: str) -> Sequence[str]:
        """Return the known holes of a published image; see CommandReader."""
        facts = image_facts(image)
        return facts.risks if facts is not None else ()
