"""Where one embedded cluster keeps its things.

Everything lies in one folder per cluster name, ``$XDG_STATE_HOME/rayfleet/NAME`` by default; removing the folder
forgets the cluster. Short-lived things with short paths (Ray's sockets, slot locks) are the node's and lie in its
runtime folder.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from rayfleet.model.errors import SettingsError

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFolders:
    """Paths of one embedded cluster; nothing is created here."""

    root: Path

    @property
    def kubeconfig(self) -> Path:
        """What ``kubectl`` needs; holds the bearer token, mode 0600."""
        return self.root / "kubeconfig"

    @property
    def logs(self) -> Path:
        """One log per process."""
        return self.root / "logs"

    @property
    def pods(self) -> Path:
        """One folder per pod with its containers' logs."""
        return self.root / "pods"

    @property
    def gateway(self) -> Path:
        """The gateway's last table: what it serves when it starts before the API server does."""
        return self.root / "gateway"

    @property
    def lock(self) -> Path:
        """Held by the supervisor while it lives."""
        return self.root / "supervisor.lock"

    @property
    def record(self) -> Path:
        """What the supervisor started: processes with pid and start time, ports, settings."""
        return self.root / "supervisor.json"


def cluster_folders(state_home: Path, name: str) -> ClusterFolders:
    """Return the folders of the cluster ``name``; SettingsError when the name cannot be a folder and a label."""
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"--name: {name!r} is not a cluster name",
            way_out="Use up to 32 lower-case letters, digits and dashes, beginning and ending with a letter or digit.",
        )
    return ClusterFolders(root=state_home / "rayfleet" / name)
