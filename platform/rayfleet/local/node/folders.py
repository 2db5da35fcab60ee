"""Where the node keeps what must be found again.

Pod folders in the cluster's state, short paths in a runtime folder.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from rayfleet.model.errors import EnvironmentProblem


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFolders:
    """``state`` is the cluster's folder.

    ``runtime`` is shared by all clusters of this user on the machine (slots, Ray's sockets).
    """

    state: Path
    runtime: Path

    @property
    def pods(self) -> Path:
        """One folder per pod."""
        return self.state / "pods"

    @property
    def slots(self) -> Path:
        """One file per slot in use."""
        return self.runtime / "slots"

    def ray_temp(self, cluster_key: str) -> Path:
        """Return the temporary folder of a Ray cluster; short, because unix socket paths end at 107 bytes."""
        return self.runtime / "ray" / cluster_key

    def make_runtime(self) -> None:
        """Make the runtime folder, for this user alone.

        Raises EnvironmentProblem when somebody else has made it before.
        """
        self.runtime.mkdir(parents=True, exist_ok=True, mode=0o700)
        facts = self.runtime.lstat()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
            raise EnvironmentProblem(
                f"{self.runtime} belongs to somebody else",
                way_out="Have it removed, or set XDG_RUNTIME_DIR to a folder of your own (20 characters at most).",
            )
        if stat.S_IMODE(facts.st_mode) != 0o700:
            self.runtime.chmod(0o700)

    def container(self, pod_folder: str, container: str) -> Path:
        """Return the folder of a container's logs and state."""
        return self.pods / pod_folder / container


def pod_folder(namespace: str, name: str, uid: str) -> str:
    """Return the name of a pod's folder; the API server's log endpoint knows it too."""
    return f"{namespace}_{name}_{uid}"
