"""The command line of each process of the embedded cluster.

The same commands that run in production, with local addresses. Pure.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rayfleet.local.folders import ClusterFolders
from rayfleet.local.supervisor.child import ChildSpec
from rayfleet.local.supervisor.settings import SupervisorSettings

API_SERVER = "apiserver"
CONTROLLERS = "controllers"
NODE = "node"
GATEWAY = "gateway"
# Nobody balances in front of it, and it has to be gone within ChildSpec.stop_seconds.
_GATEWAY_ENDS = ("--lag", "0", "--drain", "8")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpecs:
    """The processes, in the order in which they start."""

    api_server: ChildSpec
    node: ChildSpec
    controllers: ChildSpec
    gateway: ChildSpec


def child_specs(settings: SupervisorSettings, folders: ClusterFolders) -> ChildSpecs:
    """Return the four processes; ports in ``settings`` are real ones by now."""
    kubeconfig = ["--kubeconfig", str(folders.kubeconfig)]
    state = ["--state", str(folders.root)]
    accelerators = [
        word for name, count in sorted(settings.accelerators.items()) for word in ("--accelerators", f"{name}={count}")
    ]
    ports = ["--port", str(settings.gateway_port), "--admin-port", str(settings.gateway_admin_port)]
    listening = ["--host", settings.gateway_host, *ports, *_GATEWAY_ENDS, "--state-dir", str(folders.gateway)]
    return ChildSpecs(
        api_server=_spec(
            folders.logs,
            API_SERVER,
            ["rayfleet.local.apiserver", *state, "--port", str(settings.api_port), "--pods-folder", str(folders.pods)],
        ),
        node=_spec(folders.logs, NODE, ["rayfleet.local.node", *kubeconfig, *state, "--leave-running", *accelerators]),
        controllers=_spec(folders.logs, CONTROLLERS, ["rayfleet.local.manager", *kubeconfig]),
        gateway=_spec(folders.logs, GATEWAY, ["rayfleet_gateway", *kubeconfig, *listening]),
    )


def _spec(logs: Path, name: str, module: Sequence[str]) -> ChildSpec:
    return ChildSpec(name=name, command=(sys.executable, "-m", *module), log_path=logs / f"{name}.log")
