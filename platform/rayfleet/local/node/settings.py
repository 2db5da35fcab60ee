"""What the node is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rayfleet.local.node.folders import NodeFolders


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
