"""What a person's own command line asks of vLLM, and which of its published images can join a Ray cluster. Pure.

Source: vLLM's engine arguments (0.32.0). Its published images ship no Ray since v0.18 (vllm-project/vllm#33445).
"""

import re
from collections.abc import Sequence

from rayfleet.model.engine import EngineCommand
from rayfleet.model.ports import ENGINE_PORT
from rayfleet.objects.images import image_reference
from rayfleet.plugin.arguments import flag_value

_MODULES = ("vllm.entrypoints.openai.api_server", "vllm.entrypoints.cli.main")
_IMAGE = "vllm/vllm-openai"
_WITHOUT_RAY_SINCE = (0, 18)
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
        reference = image_reference(image)
        version = re.match(r"v?(\d+)\.(\d+)", reference.tag)
        is_newest = version is None and not reference.digest  # latest, nightly, or no tag at all
        is_newer = version is not None and (int(version[1]), int(version[2])) >= _WITHOUT_RAY_SINCE
        if reference.name != _IMAGE or not (is_newest or is_newer):
            return ""
        return "ships no Ray (since v0.18): build one FROM it with `pip install ray`, of the version in rayVersion"


def _starts_vllm(words: Sequence[str]) -> bool:
    if len(words) > 1 and words[0].rpartition("/")[2] == "vllm":
        return words[1] == "serve"
    return len(words) > 2 and bool(_PYTHON.fullmatch(words[0])) and words[1] == "-m" and words[2] in _MODULES


def _count(value: str | None, otherwise: int) -> int:
    return int(value) if value is not None and value.isdecimal() and int(value) else otherwise
