"""What a person's own command line asks of SGLang. Pure. Source: SGLang's server arguments (0.5.23).

A sidecar can ask for a token of what generates text, over plain HTTP and without a key that only the command has. Its
page is there with ``--enable-metrics`` alone; without it nothing is told of requests.
"""

from collections.abc import Sequence

from rayfleet.model.engine import EngineCommand, EngineProbe
from rayfleet.plugin.arguments import count_value, flag_value, has_flag, is_program
from rayfleet.plugin.model_split import expert_ranks, has_other_config
from rayfleet_sglang.images import image_facts
from rayfleet_sglang.metrics import HEALTH_PATH, METRICS, TRAFFIC

_DEFAULT_PORT = 30000
_OF_ITS_OWN = ("--api-key", "--admin-api-key", "--ssl-keyfile", "--ssl-certfile", "--is-embedding")


class SglangReader:
    """Reads ``sglang serve`` and the module that was before it."""

    name = "sglang"

    def read(self, words: Sequence[str]) -> EngineCommand | None:
        """Return what a command line starts; see CommandReader. What is no whole number counts as not said."""
        if not (is_program(words, "sglang", "serve") or is_program(words, "sglang.launch_server")):
            return None
        port = count_value(words, _DEFAULT_PORT, "--port")
        probe = EngineProbe(port=port, health_path=HEALTH_PATH, traffic=TRAFFIC)
        is_plain = not any(has_flag(words, flag) for flag in _OF_ITS_OWN)
        return EngineCommand(
            engine=self.name,
            tensor=count_value(words, 1, "--tensor-parallel-size", "--tp-size", "--tp"),
            pipeline=count_value(words, 1, "--pipeline-parallel-size", "--pp-size", "--pp"),
            port=port,
            probe=probe if is_plain else None,
            metrics=METRICS,
            model="" if has_other_config(words) else flag_value(words, "--model-path", "--model") or "",
            expert_ranks=expert_ranks(words, 1),
        )

    def image_lack(self, image: str) -> str:
        """Return what a published image lacks; see CommandReader."""
        facts = image_facts(image)
        return "ships no Ray: build one FROM it with `pip install sglang[ray]`" if facts is not None else ""

    def image_risks(self, image: str) -> Sequence[str]:
        """Return the known holes of a published image; see CommandReader."""
        facts = image_facts(image)
        return facts.risks if facts is not None else ()
