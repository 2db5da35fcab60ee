"""How the nodes of a replica on Ray are started, for engines that split one model over them. Pure.

Stock images hold no rayfleet, so the head is handed the text of the watch: it serves Ray's own view of the nodes to the
sidecar, lets the engine start once all nodes are there, and ends it when one of them is lost: all start anew together,
in the containers that they have.

Ray's actors get the environment of the process that makes them, the engine on the head: all of it with vLLM 0.32.0,
what begins with ``VLLM_``, ``NCCL_``, ``UCX_``, ``HF_`` and some more with older ones. What is one node's own
(``NODE_OWN``: its address, its names of interfaces and devices) would win over the other nodes' own there, and a secret
would lie in the state of Ray: an engine that can be told leaves these at home.
"""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files

from rayfleet.model.engine import NodeLaunch
from rayfleet.plugin.frame import Frame, head_launch, worker_launch

# Read when this is imported, since plans are made where nothing may wait for a file.
_WATCH = files("rayfleet.plugin").joinpath("ray_watch.py").read_text(encoding="utf-8")

NODES_PORT = 8081
NODE_OWN = (
    "GLOO_SOCKET_IFNAME",
    "HF_TOKEN",
    "HOSTNAME",
    "HUGGING_FACE_HUB_TOKEN",
    "NCCL_IB_HCA",
    "NCCL_SOCKET_IFNAME",
    "NVSHMEM_HCA_LIST",
    "POD_IP",
    "RAY_AUTH_TOKEN",
    "TP_SOCKET_IFNAME",
    "UCX_NET_DEVICES",
    "VLLM_API_KEY",
)
"""Variables that must not travel from the head to the ranks of other nodes, which have their own."""

_NODES_SECONDS = 600


def ray_launches(frame: Frame, nodes: int, ray_start_params: Mapping[str, str]) -> tuple[NodeLaunch, NodeLaunch]:
    """Return how head and workers are started; ``python3`` has to be among the frame's ``programs``."""
    watch = 'python3 -c "$ray_watch"'
    wait = f'{watch} wait "$POD_IP" {NODES_PORT} {nodes} {_NODES_SECONDS} || exit 1\n'
    watched = replace(
        frame,
        before=f"{wait}{frame.before}",
        companions={"observer of Ray's nodes": f'{watch} serve "$POD_IP" {NODES_PORT} {nodes}', **frame.companions},
        definitions=f"ray_watch={shlex.quote(_WATCH)}\n{frame.definitions}",
        beside_worker=f'{watch} link "${{RAY_ADDRESS%:*}}" {NODES_PORT} "$POD_IP"',
    )
    return head_launch(watched, ray_start_params), worker_launch(watched, ray_start_params)
