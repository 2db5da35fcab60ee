"""What a person's own command line asks of vLLM, and which of its published images can join a Ray cluster. Pure.

Source: vLLM's engine arguments (0.32.0). Its published images ship no Ray since v0.18 (vllm-project/vllm#33445).
"""

import re
from collections.abc import Sequence

from rayfleet.model.engine import EngineCommand
from rayfleet.model.ports import ENGINE_PORT
from rayfleet.plugin.arguments import flag_value
from rayfleet_vllm.images import image_facts

_MODULES = ("vllm.entrypoints.openai.api_server", "vllm.entrypoints.cli.main")
_PYTHON = re.compile(r"(?:.*/)?python[0-9.]*")


class VllmReader:
    """Reads ``vllm serve`` and the module behind it."""

    name = "vllm"

    def read(self, words: Sequence[str]) -> EngineCommand | None:
        """Return what a command line starts; see CommandReader. What is no whole number counts as not said."""
        if not _starts_vllm(words):
            return None
        return EngineCommand(
            engine=self.name,
            tensor=_count(flag_value(words, "--tensor-parallel-size", "-tp"), 1),
            pipeline=_count(flag_value(words, "--pipeline-parallel-size", "-pp"), 1),
            data=_count(flag_value(words, "--data-parallel-size", "-dp"), 1),
            port=_count(flag_value(words, "--port"), ENGINE_PORT),
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


def _starts_vllm(words: Sequence[str]) -> bool:
    if len(words) > 1 and words[0].rpartition("/")[2] == "vllm":
        return words[1] == "serve"
    return len(words) > 2 and bool(_PYTHON.fullmatch(words[0])) and words[1] == "-m" and words[2] in _MODULES


def _count(value: str | None, otherwise: int) -> int:
    return int(value) if value is not None and value.isdecimal() and int(value) else otherwise
