"""What the node is told, by its flags and by the environment; nothing else in this package reads the environment."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rayfleet.local.node.folders import NodeFolders
from rayfleet.model.errors import SettingsError

# The paths of Ray's unix sockets below it end at 107 bytes.
_LONGEST_RUNTIME_BASE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """``accelerators`` are integers by resource name.

    With ``leaves_running`` SIGTERM ends the node and not its pods.
    """

    kubeconfig: Path
    folders: NodeFolders
    name: str = "local"
    accelerators: Mapping[str, int] = field(default_factory=dict)
    leaves_running: bool = False


def accelerator_counts(entries: Sequence[str]) -> dict[str, int]:
    """Return what ``--accelerators`` offers: integers by resource name. Raises SettingsError."""
    counts = {}
    for entry in entries:
        resource, _, count = entry.partition("=")
        if not resource or not count.isdigit():
            raise SettingsError(
                f"--accelerators {entry!r} is not RESOURCE=N", way_out="For example --accelerators nvidia.com/gpu=4."
            )
        counts[resource] = int(count)
    return counts


def own_variables() -> Mapping[str, str]:
    """Return the node's environment, of which containers get a few names only."""
    return dict(os.environ)


def node_folders(state: Path, environment: Mapping[str, str] | None = None) -> NodeFolders:
    """Return the folders.

    The runtime folder is ``$XDG_RUNTIME_DIR/rayfleet-UID`` when that is short, else in the temporary folder;
    ``environment`` is the process's own when left out.
    """
    variables = os.environ if environment is None else environment
    base = variables.get("XDG_RUNTIME_DIR", "")
    if not base or len(base) > _LONGEST_RUNTIME_BASE:
        base = tempfile.gettempdir()
    return NodeFolders(state=state.absolute(), runtime=Path(base) / f"rayfleet-{os.getuid()}")
