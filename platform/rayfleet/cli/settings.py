"""The environment as the command line sees it; the only module of the CLI that reads it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CliSettings:
    """``kubeconfig`` is None without ``$KUBECONFIG``; ``state_home`` as the XDG base directory specification has it.

    ``is_plain``: ``$NO_COLOR`` is set (no-color.org).
    """

    state_home: Path
    kubeconfig: Path | None
    is_plain: bool = False


def read_cli_settings(environment: Mapping[str, str] | None = None) -> CliSettings:
    """Return the settings of this process (or of ``environment``)."""
    variables = os.environ if environment is None else environment
    state_home = variables.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    kubeconfig = variables.get("KUBECONFIG") or ""
    return CliSettings(
        state_home=Path(state_home),
        kubeconfig=Path(kubeconfig.split(":")[0]) if kubeconfig else None,
        is_plain=bool(variables.get("NO_COLOR")),
    )
