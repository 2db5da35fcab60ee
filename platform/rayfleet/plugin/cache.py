"""Where downloaded and built things live between runs: one folder per user, safe to delete at any time."""

import os
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "RAYFLEET_CACHE"


def cache_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Return ``$RAYFLEET_CACHE``, else ``~/.cache/rayfleet``; absolute, not created.

    ``environment`` is the process's own when left out.
    """
    given = (os.environ if environment is None else environment).get(VARIABLE, "")
    return (Path(given) if given else Path("~/.cache/rayfleet")).expanduser().absolute()
