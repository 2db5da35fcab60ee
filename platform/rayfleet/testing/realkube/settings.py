"""What the real Kubernetes of the test kit takes from the environment; nothing else in this package reads it."""

import os
from collections.abc import Mapping
from pathlib import Path

from rayfleet.plugin.settings import read_plugin_settings


def default_cache() -> Path:
    """Return the folder for what is built or downloaded once: ``$RAYFLEET_CACHE``, else ``~/.cache/rayfleet``."""
    return read_plugin_settings().cache


def kubebuilder_assets() -> Path | None:
    """Return the folder named by ``KUBEBUILDER_ASSETS``, the convention of Kubernetes' own test tools, if it is set."""
    configured = os.environ.get("KUBEBUILDER_ASSETS")
    return Path(configured).expanduser().absolute() if configured else None


def go_environment() -> Mapping[str, str]:
    """Return the environment of a ``go`` command: the user's proxy and caches, but nothing that changes the result.

    No C compiler is needed (``CGO_ENABLED=0``), no workspace of the user's is joined, no other toolchain is fetched.
    """
    return {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOTOOLCHAIN": "local"}
