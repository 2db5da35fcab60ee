"""The engine as data: what it can do, how it is started. Pure.

TensorRT-LLM spans nodes by MPI, whose launchers want a shell or a resource manager on every node, which pods have not;
or by Ray (``orchestrator_type: ray``, a prototype as of 1.4.0rc4), in an image that has it. On one node it starts its
ranks itself, without either. Held by tests, and never run: it needs a GPU.
"""

import shlex
from types import MappingProxyType

from rayfleet.model.engine import EngineProbe, LaunchPlan
from rayfleet.model.errors import FieldError
from rayfleet.model.ports import ENGINE_PORT
from rayfleet.model.serving import Backend, Serving
from rayfleet.plugin.arguments import OF_THE_PLAN, flag_problems, flag_value
from rayfleet.plugin.contracts import ModelFormat
from rayfleet.plugin.frame import RAY_VERSION, Frame
from rayfleet.plugin.images import BACKEND_PATH, backend_problems, chosen_backend
from rayfleet.plugin.model_split import split_look, split_problems
from rayfleet.plugin.splitting import (
    Splitter,
    bring_command,
    joined,
    path_problems,
    place_problems,
    script_bring,
    shown_model,
    split_plan,
)
from rayfleet_trtllm.images import IMAGE, image_facts
from rayfleet_trtllm.metrics import METRICS, METRICS_PATH

_OPTIONS = "--extra_llm_api_options"
_RAY_OPTIONS = """\
options="${TMPDIR:-/tmp}/rayfleet-trtllm-$POD_IP.yaml"
printf 'orchestrator_type: ray\\nreturn_perf_metrics: true\\n' >"$options" || exit 1
"""
_OF_THE_PLAN = ("--host", "--port", "--tp_size", "--pp_size", "--served_model_name")
_OTHER_NAMES = ("--tensor_parallel_size", "--pipeline_parallel_size")
_OF_RAY = ("--extra_llm_api_options", "--config")


class TrtLlm:
    """TensorRT-LLM on one node, or over the nodes of a Ray cluster."""

    name = "trtllm"
    # Its own environment fetches the model.
    model_format: ModelFormat | None = None

    def problems(self, serving: Serving) -> tuple[FieldError, ...]:
        """Return what TensorRT-LLM cannot do of ``serving``; see Engine."""
        image = serving.image or IMAGE
        backend = chosen_backend(serving, image, image_facts(image)).backend
        return (
            *backend_problems(serving, image, image_facts(image)),
            *_node_problems(serving, backend, image),
            *place_problems(serving),
            *path_problems(serving),
            *split_problems(serving),
            *flag_problems(serving.arguments, _refused(backend)),
        )

    def launch_plan(self, serving: Serving) -> LaunchPlan:
        """Return how head and workers are started; see Engine."""
        return split_plan(
            Splitter(image=IMAGE, image_facts=image_facts, metrics=METRICS, frame=_frame),
            serving,
            probe=EngineProbe(port=ENGINE_PORT, metrics_path=METRICS_PATH),
            bring=bring_command(serving.model, flag_value(serving.arguments, "--revision")),
        )


def _node_problems(serving: Serving, backend: Backend, image: str) -> tuple[FieldError, ...]:
    problems = []
    if not serving.resources.accelerators:
        message = "0, but TensorRT-LLM runs on NVIDIA's GPUs alone; say how many a node has"
        problems.append(FieldError(path="spec.serving.resources.accelerators", message=message))
    if backend is Backend.MP and serving.nodes > 1:
        message = (
            f"TensorRT-LLM spans {serving.nodes} nodes by MPI, for which pods have no launcher, or by Ray, which"
            f" {image} may not have: take nodes 1, or backend ray and an image with Ray in it"
        )
        problems.append(FieldError(path=BACKEND_PATH, message=message))
    return tuple(problems)


def _refused(backend: Backend) -> MappingProxyType[str, str]:
    of_ray = "is rayfleet's on Ray, where it says orchestrator_type: ray"
    reasons = {
        **dict.fromkeys((*_OF_THE_PLAN, *_OTHER_NAMES), OF_THE_PLAN),
        **(dict.fromkeys(_OF_RAY, of_ray) if backend is Backend.RAY else {}),
    }
    # Flags are compared with dashes, and shown as trtllm-serve writes them too.
    return MappingProxyType(
        {
            flag.replace("_", "-"): reason if "_" not in flag else f"({flag}) {reason}"
            for flag, reason in reasons.items()
        }
    )


def _frame(serving: Serving, backend: Backend, rank: int) -> Frame:
    assert not rank, "one node, or Ray"
    on_ray = backend is Backend.RAY
    words = (
        f"trtllm-serve {shown_model(serving.model)}",
        f'--host "$POD_IP" --port {ENGINE_PORT}',
        f'{_OPTIONS} "$options"' if on_ray else "",
        shlex.join(_arguments(serving)),
    )
    way_out = f"Name one in spec.serving.image that has TensorRT-LLM{f' and ray=={RAY_VERSION}' if on_ray else ''}."
    return Frame(
        command=joined(words),
        before=f"{_RAY_OPTIONS if on_ray else ''}{split_look(serving, shown_model(serving.model))}",
        bring=script_bring(serving.model),
        programs=("trtllm-serve", "python3"),
        way_out=way_out,
        part="ray::RayWorker" if on_ray else "",  # RayWorkerWrapper
    )


def _arguments(serving: Serving) -> tuple[str, ...]:
    return (
        *("--served_model_name", serving.served_model_name),
        *("--tp_size", str(serving.parallelism.tensor)),
        *("--pp_size", str(serving.parallelism.pipeline)),
        *serving.arguments,
    )
