"""The environment as the command line sees it; the only module of the CLI that reads it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CliSettings:
    """``kubeconfig`` holds the files of ``$KUBECONFIG``, in order, and is empty without it.

    ``state_home`` as the XDG base directory specification has it. ``home_kubeconfig`` is where kubectl looks when
    nothing is said. ``is_in_pod``: Kubernetes has set its addresses in the environment. ``is_plain``: ``$NO_COLOR`` is
    set (no-color.org).
    """

    state_home: Path
    kubeconfig: tuple[Path, ...] = ()
    home_kubeconfig: Path = Path(".kube/config")
    is_in_pod: bool = False
    is_plain: bool = False


def read_cli_settings(environment: Mapping[str, str] | None = None) -> CliSettings:
    """Return the settings of this process (or of ``environment``)."""
    variables = os.environ if environment is None else environment
    home = Path(variables.get("HOME") or Path.home())
    files = (variables.get("KUBECONFIG") or "").split(os.pathsep)
    return CliSettings(
        state_home=Path(variables.get("XDG_STATE_HOME") or home / ".local" / "state"),
        kubeconfig=tuple(Path(file) for file in files if file),
        home_kubeconfig=home / ".kube" / "config",
        is_in_pod=bool(variables.get("KUBERNETES_SERVICE_HOST")),
        is_plain=bool(variables.get("NO_COLOR")),
    )
