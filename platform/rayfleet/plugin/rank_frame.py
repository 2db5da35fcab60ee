"""How the nodes of a replica without Ray are started: one process of the engine on each, which knows its rank. Pure.

Each rank is a worker group of its own in the RayCluster: a group is what KubeRay tells pods apart by. What KubeRay
brings along for Ray is answered here:

- Its init container ``wait-gcs-ready`` runs ``ray health-check`` in the engine's image until that succeeds, for ever in
  an image without Ray. It is given the environment of the Ray container, and bash takes functions from there
  (``BASH_FUNC_ray%%``): the health check succeeds at once, everything else is handed on to Ray where there is one.
  Kubernetes takes such a name since 1.32 (RelaxedEnvironmentVariableValidation); an operator with
  ``ENABLE_INIT_CONTAINER_INJECTION=false`` adds no such container.
- The port of Ray's head service stays free, and is where the ranks meet (``$rendezvous``), at the head's own address
  (``$head_address``): no other port is sure to be the replica's alone on a machine that runs several.
- Its probes are not added to a container that has probes (``rayfleet.planning.render``).

A lost rank ends the others within seconds, so that all of them start anew together, in the containers that they have.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from types import MappingProxyType

from rayfleet.model.engine import NodeLaunch
from rayfleet.model.ports import RANKS_PORT
from rayfleet.plugin.frame import Frame, alone_launch

# Read when this is imported, since plans are made where nothing may wait for a file.
_WATCH = files("rayfleet.plugin").joinpath("rank_watch.py").read_text(encoding="utf-8")

_HEAD_SECONDS = 600  # its image may be pulled yet
_RANKS_SECONDS = 600
_SHIM: Mapping[str, str] = MappingProxyType(
    {"BASH_FUNC_ray%%": '() { [ "${1:-}" = health-check ] || command ray "$@"; }'}
)


def rank_launches(frames: Sequence[Frame]) -> tuple[NodeLaunch, ...]:
    """Return how the nodes are started, the head first; ``frames`` are theirs, in order of their ranks.

    Commands, ``before`` and ``definitions`` of the frames find ``$head_address`` and ``$rendezvous``, a port, set.
    With more nodes than one ``python3`` has to be among their ``programs``.
    """
    nodes = len(frames)
    return tuple(alone_launch(_ranked(frame, rank, nodes)) for rank, frame in enumerate(frames))


def _ranked(frame: Frame, rank: int, nodes: int) -> Frame:
    address = "${RAY_ADDRESS%:*}" if rank else "$POD_IP"
    meeting = f"head_address={address}\nrendezvous=${{RAY_ADDRESS##*:}}\n"
    if nodes == 1:
        return replace(frame, definitions=f"{meeting}{frame.definitions}")
    watch = f'python3 -c "$rank_watch" {{}} "$head_address" {RANKS_PORT}'
    if rank:
        own = {"link to the head": f'{watch.format("join")} {rank} {_HEAD_SECONDS} "$POD_IP"'}
    else:
        own = {"watch over the ranks": f"{watch.format('serve')} {nodes}"}
    gate = f"{watch.format('wait')} {rank} {nodes} {_RANKS_SECONDS} || exit 1\n"
    return replace(
        frame,
        definitions=f"{meeting}rank_watch={shlex.quote(_WATCH)}\n{frame.definitions}",
        companions={**own, **frame.companions},
        before=f"{gate}{frame.before}",
        environment={**frame.environment, **(_SHIM if rank else {})},
    )
