"""What a person's own command line asks of SGLang. Pure. Source: SGLang's server arguments (0.5.23)."""

from collections.abc import Sequence

from rayfleet.model.engine import EngineCommand
from rayfleet.plugin.arguments import count_value, is_program
from rayfleet_sglang.images import image_facts

_DEFAULT_PORT = 30000


class SglangReader:
    """Reads ``sglang serve`` and the module that was before it."""

    name = "sglang"

    def read(self, words: Sequence[str]) -> EngineCommand | None:
        """Return what a command line starts; see CommandReader. What is no whole number counts as not said."""
        if not (is_program(words, "sglang", "serve") or is_program(words, "sglang.launch_server")):
            return None
        return EngineCommand(
            engine=self.name,
            tensor=count_value(words, 1, "--tensor-parallel-size", "--tp-size", "--tp"),
            pipeline=count_value(words, 1, "--pipeline-parallel-size", "--pp-size", "--pp"),
            port=count_value(words, _DEFAULT_PORT, "--port"),
        )

    def image_lack(self, image: str) -> str:
        """Return what a published image lacks; see CommandReader."""
        facts = image_facts(image)
        return "ships no Ray: build one FROM it with `pip install sglang[ray]`" if facts is not None else ""

    def image_risks(self, image: str) -> Sequence[str]:
        """Return the known holes of a published image; see CommandReader."""
        facts = image_facts(image)
        return facts.risks if facts is not None else ()
