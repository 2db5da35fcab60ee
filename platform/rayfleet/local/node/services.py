"""What a pod worker needs of its node."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from rayfleet.kube.client import KubeClient
from rayfleet.kube.events import EventRecorder
from rayfleet.local.node.cleanup import release
from rayfleet.local.node.environments import ConfigLookup
from rayfleet.local.node.folders import NodeFolders
from rayfleet.local.node.loopback import Resolve
from rayfleet.local.node.processes import Children
from rayfleet.local.node.slots import Slots
from rayfleet.model.engine import LocalEnvironment


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeServices:
    """Shared by all pods of a node.

    ``variables`` is the node's own environment, of which containers get a few names only. ``can_mount``: whether it
    may give containers mounts of their own.
    """

    client: KubeClient
    folders: NodeFolders
    slots: Slots
    session: aiohttp.ClientSession
    environments: Sequence[LocalEnvironment]
    cache: Path
    own_bin: Path
    variables: Mapping[str, str]
    resolve: Resolve
    lookup_in: Callable[[str], ConfigLookup]
    children: Children
    events: EventRecorder
    can_mount: bool

    def release(self, folder_name: str, pod_uid: str) -> None:
        """Remove what a pod whose processes have ended has on this machine. Blocking."""
        release(self.folders, folder_name)
        self.slots.give_back(pod_uid)
