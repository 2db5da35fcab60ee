"""Which plugins a person wants left out, in every process alike."""

import os
from collections.abc import Mapping

VARIABLE = "RAYFLEET_DISABLE_PLUGINS"


def disabled_plugins(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the entry point names of ``$RAYFLEET_DISABLE_PLUGINS``, separated by commas."""
    text = (os.environ if environment is None else environment).get(VARIABLE, "")
    return tuple(name.strip() for name in text.split(",") if name.strip())
