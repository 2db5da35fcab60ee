"""The environment as plugins see it, in every process alike; the only module of ``rayfleet.plugin`` that reads it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_CACHE = "RAYFLEET_CACHE"
_DISABLED = "RAYFLEET_DISABLE_PLUGINS"


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginSettings:
    """``cache``: where downloaded and built things live between runs; one folder per user, safe to delete at any time.

    ``disabled``: entry point names of the plugins that a person wants left out.
    """

    cache: Path
    disabled: tuple[str, ...] = ()


def read_plugin_settings(environment: Mapping[str, str] | None = None) -> PluginSettings:
    """Return the settings of this process (or of ``environment``).

    ``$RAYFLEET_CACHE``, else ``~/.cache/rayfleet``: absolute, not created. ``$RAYFLEET_DISABLE_PLUGINS`` is separated
    by commas.
    """
    variables = os.environ if environment is None else environment
    cache = Path(variables.get(_CACHE) or "~/.cache/rayfleet")
    names = variables.get(_DISABLED, "").split(",")
    return PluginSettings(
        cache=cache.expanduser().absolute(), disabled=tuple(name.strip() for name in names if name.strip())
    )
