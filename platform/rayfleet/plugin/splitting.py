"""What engines that split one model over nodes share: places for ranks, how a model gets there, the plan. Pure."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rayfleet.model.engine import EngineProbe, ImageFacts, LaunchPlan, MetricMap
from rayfleet.model.errors import FieldError
from rayfleet.model.ports import RANKS_PORT
from rayfleet.model.serving import Backend, Serving
from rayfleet.plugin.frame import RAY_VERSION, Frame
from rayfleet.plugin.images import chosen_backend
from rayfleet.plugin.rank_frame import rank_launches
from rayfleet.plugin.ray_frame import NODES_PORT, ray_launches
from rayfleet.plugin.reference import PATH_SCHEME, split_reference

# The safetensors of a repository, and what is beside them that is small.
_SNAPSHOT = (
    "import sys; from huggingface_hub import snapshot_download; name, revision, folder = sys.argv[1:]; "
    "snapshot_download(name, revision=revision or None, cache_dir=folder or None, "
    "ignore_patterns=['original/**', 'consolidated*', '*.gguf', '*.pth', '*.onnx', '*.h5', '*.msgpack'])"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Splitter:
    """An engine that splits a model, as far as the plan differs.

    ``image`` is its own, ``image_facts`` what it knows of one. ``frame`` gives its part of the scripts for a backend
    and a rank; on Ray that of rank 0 is the head's, and the only one asked for. ``metrics`` is the plan's.
    """

    image: str
    image_facts: Callable[[str], ImageFacts | None]
    frame: Callable[[Serving, Backend, int], Frame]
    metrics: MetricMap = field(default_factory=MetricMap)


def split_plan(engine: Splitter, serving: Serving, probe: EngineProbe, bring: str) -> LaunchPlan:
    """Return the launch plan; ``probe`` lacks only where the nodes are told of."""
    image = serving.image or engine.image
    facts = engine.image_facts(image)
    choice = chosen_backend(serving, image, facts)
    if choice.backend is Backend.MP:
        head, *ranks = rank_launches([engine.frame(serving, Backend.MP, rank) for rank in range(serving.nodes)])
        worker, nodes_port = (ranks or [head])[0], RANKS_PORT
    else:
        frame = engine.frame(serving, Backend.RAY, 0)
        head, worker = ray_launches(frame, serving.nodes, ray_slots(serving))
        ranks, nodes_port = [], NODES_PORT
    return LaunchPlan(
        image=engine.image,
        ray_version=RAY_VERSION,
        head=head,
        worker=worker,
        ranks=tuple(ranks),
        probe=replace(probe, nodes_port=nodes_port),
        bring=bring,
        backend=choice.backend,
        backend_reason=choice.reason,
        facts=facts,
        metrics=engine.metrics,
    )


def ray_slots(serving: Serving) -> Mapping[str, str]:
    """Return the slots of a node, as flags of Ray.

    Without accelerators one logical slot holds the node's one rank; KubeRay counts what is no GPU.
    """
    resources = serving.resources
    if not resources.accelerators:
        return {"num-gpus": "1"}
    return {"num-gpus": str(resources.accelerators)} if resources.accelerator_resource.endswith("gpu") else {}


def place_problems(serving: Serving) -> Iterator[FieldError]:
    """Yield a problem where ranks and places of a replica are not equal in number."""
    per_node = max(serving.resources.accelerators, 1)
    ranks = serving.parallelism.tensor * serving.parallelism.pipeline
    places = serving.nodes * per_node
    if ranks == places:
        return
    each = (
        f"{per_node} accelerators each"
        if serving.resources.accelerators
        else "one rank each, as they ask for no accelerators"
    )
    yield FieldError(
        path="spec.serving.parallelism",
        message=f"tensor {serving.parallelism.tensor} x pipeline {serving.parallelism.pipeline} is {ranks} ranks, but "
        f"{serving.nodes} nodes with {each} have {places} places; "
        f"make them equal (tensor: {per_node}, pipeline: {serving.nodes} is the usual choice)",
    )


def path_problems(serving: Serving) -> Iterator[FieldError]:
    """Yield a problem where the model is a path that is not absolute."""
    reference = split_reference(serving.model)
    if reference.scheme == PATH_SCHEME and not reference.rest.startswith("/"):
        yield FieldError(
            path="spec.serving.model",
            message=f"{serving.model!r} is not an absolute path, and the nodes share no working folder; "
            "write it from the root (/models/name)",
        )


def shown_model(model: str) -> str:
    """Return the word of a shell that names the model to the engine: what was brought, a path, or a hub's name."""
    reference = split_reference(model)
    if script_bring(model):
        return '"$model"'
    return shlex.quote(reference.rest if reference.scheme == PATH_SCHEME else model)


def script_bring(model: str) -> str:
    """Return what brings a model in the scripts; a path is the engine's to read as it stands, and so is a hub's name.

    Only other schemes have to be brought, on every node.
    """
    return bring_command(model) if split_reference(model).scheme not in {"", PATH_SCHEME} else ""


def bring_command(model: str, revision: str | None = None, folder: str | None = None) -> str:
    """Return what brings a model before the engine is started; of a hub's by the library that engines use.

    What a path names is there, or not.
    """
    reference = split_reference(model)
    if reference.scheme == PATH_SCHEME:
        return ""
    if reference.scheme:
        return f"python3 -m rayfleet_models fetch {shlex.quote(model)} --format huggingface"
    return shlex.join(("python3", "-c", _SNAPSHOT, model, revision or "", folder or ""))


def joined(words: Sequence[str]) -> str:
    """Return words of a shell that are quoted already, and none of the empty ones."""
    return " ".join(filter(None, words))
