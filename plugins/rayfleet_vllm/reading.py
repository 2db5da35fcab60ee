"""What a person's own command line asks of vLLM, and which of its published images can join a Ray cluster. Pure.

A sidecar can ask for a token of what generates text, over plain HTTP and without a key that only the command has.

Source: vLLM's engine arguments (0.32.0). Its published images ship no Ray since v0.18 (vllm-project/vllm#33445).
"""

from collections.abc import Sequence
from itertools import pairwise

from rayfleet.model.engine import EngineCommand, EngineProbe
from rayfleet.model.ports import ENGINE_PORT
from rayfleet.plugin.arguments import count_value, flag_value, has_flag, is_program
from rayfleet.plugin.model_split import expert_ranks, has_other_config
from rayfleet_vllm.images import image_facts
from rayfleet_vllm.load import told_load_path
from rayfleet_vllm.metrics import METRICS, TRAFFIC

_OF_ITS_OWN = ("--api-key", "--ssl-keyfile", "--ssl-certfile", "--uds", "--root-path", "--headless")
_MODULES = ("vllm.entrypoints.openai.api_server", "vllm.entrypoints.cli.main")


class VllmReader:
    """Reads ``vllm serve`` and the module behind it."""

    name = "vllm"

    def read(self, words: Sequence[str]) -> EngineCommand | None:
        """Return what a command line starts; see CommandReader. What is no whole number counts as not said."""
        if not (is_program(words, "vllm", "serve") or any(is_program(words, module) for module in _MODULES)):
            return None
        port = count_value(words, ENGINE_PORT, "--port")
        tensor = count_value(words, 1, "--tensor-parallel-size", "-tp")
        data = count_value(words, 1, "--data-parallel-size", "-dp")
        return EngineCommand(
            engine=self.name,
            tensor=tensor,
            pipeline=count_value(words, 1, "--pipeline-parallel-size", "-pp"),
            data=data,
            port=port,
            probe=_probe(words, port) if _generates_for_all(words) else None,
            metrics=METRICS,
            key_variable="VLLM_API_KEY",
            model="" if has_other_config(words) else _model(words),
            expert_ranks=expert_ranks(words, tensor * data),
        )

    def image_lack(self, image: str) -> str:
        """Return what a published image lacks; see CommandReader."""
        facts = image_facts(image)
        if facts is None or "ray" not in facts.lacks:
            return ""
        return "ships no Ray (since v0.18): build one FROM it with `pip install ray`, of the version in rayVersion"

    def image_risks(self, image: str) -> Sequence[str]:
        """Return the known holes of a published image; see CommandReader."""
        facts = image_facts(image)
        return facts.risks if facts is not None else ()


def _probe(words: Sequence[str], port: int) -> EngineProbe:
    return EngineProbe(port=port, traffic=TRAFFIC, load_path=told_load_path(words))


def _model(words: Sequence[str]) -> str:
    """Return the model: the word after ``serve``, or the flag's."""
    after = [following for word, following in pairwise(words) if word == "serve" and following[:1] != "-"]
    return flag_value(words, "--model") or next(iter(after), "")


def _generates_for_all(words: Sequence[str]) -> bool:
    """Whether it generates text for whoever can reach its port: no other task, no key or TLS of its own."""
    runner = flag_value(words, "--runner", "--task") or "auto"
    is_plain = not any(has_flag(words, flag) for flag in _OF_ITS_OWN)
    return is_plain and runner in {"auto", "generate"} and not has_flag(words, "--convert")
