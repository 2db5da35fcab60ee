"""What `rayfleet up` tells its supervisor, as one value that travels in a file.

The only module of the package that reads the environment.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorSettings:
    """One embedded cluster.

    Ports of 0 mean any free one. ``accelerators`` are the node's integers by resource name. ``follow_pid`` is the
    process whose end ends the cluster (0: none, the cluster is detached).
    """

    root: Path
    name: str
    api_port: int = 0
    gateway_host: str = "127.0.0.1"
    gateway_port: int = 8000
    gateway_admin_port: int = 0
    accelerators: dict[str, int] = field(default_factory=dict)
    follow_pid: int = 0


def write_settings(path: Path, settings: SupervisorSettings) -> None:
    """Write the settings as JSON."""
    path.write_text(json.dumps({**asdict(settings), "root": str(settings.root)}), encoding="utf-8")


def read_settings(path: Path) -> SupervisorSettings:
    """Return what ``write_settings`` wrote."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    return SupervisorSettings(**{**raw, "root": Path(raw["root"])})


def child_environment() -> Mapping[str, str]:
    """Return the environment of a supervised process: the supervisor's own, and its output is written as it comes."""
    return {**os.environ, "PYTHONUNBUFFERED": "1"}
