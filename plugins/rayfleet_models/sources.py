"""The model sources of this package, in one place for the plugin and for ``python -m rayfleet_models``."""

from rayfleet.plugin.contracts import ModelSource
from rayfleet_models.paths import PathSource
from rayfleet_models.pypi import PyPiSource


def all_sources() -> tuple[ModelSource, ...]:
    """Return new sources, one for each scheme."""
    return (PyPiSource(), PathSource())
