"""The engine as data: what it can do, how it is started. Pure.

vLLM splits one model over the nodes. The head joins Ray, waits for all nodes and starts ``vllm serve``, which places
one rank per accelerator by a placement group; workers only run Ray. A lost rank ends the engine (vLLM 0.32.0), and with
it the head.
"""

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from types import MappingProxyType

from rayfleet.model.engine import EngineProbe, LaunchPlan, TrafficMetrics
from rayfleet.model.errors import FieldError
from rayfleet.model.ports import ENGINE_PORT
from rayfleet.model.serving import Serving
from rayfleet.plugin.arguments import OF_THE_PLAN, drain_problems, flag_problems
from rayfleet.plugin.contracts import ModelFormat
from rayfleet.plugin.frame import RAY_VERSION, head_launch, worker_launch
from rayfleet.plugin.reference import PATH_SCHEME, split_reference
from rayfleet_vllm.launch import NODES_PORT, bring_command, launch_frame

# The stock images of 2026 ship no Ray any more, and the head script says so and ends: this default wants one that was
# built `FROM` it with Ray of RAY_VERSION, under the same name in the cluster's registry or under another in
# `spec.serving.image`.
IMAGE = "vllm/vllm-openai:v0.14.0"

# vLLM 0.32.0. What it answered with 5xx is its fault: its own counter of requests knows only those that it took up.
_HANDLERS = ("/v1/completions", "/v1/chat/completions", "/v1/responses", "/v1/messages")
TRAFFIC = TrafficMetrics(
    running=("vllm:num_requests_running",),
    waiting=("vllm:num_requests_waiting",),
    steps=("vllm:iteration_tokens_total_count", "vllm:generation_tokens_total"),
    served=tuple(f'http_requests_total{{handler="{handler}",status="2xx"}}' for handler in _HANDLERS),
    failed=tuple(f'http_requests_total{{handler="{handler}",status="5xx"}}' for handler in _HANDLERS),
)

_DRAIN_FLAG = "--shutdown-timeout"
_REFUSED = MappingProxyType(
    {
        **dict.fromkeys(
            (
                "--model",
                "--served-model-name",
                "--host",
                "--port",
                "--distributed-executor-backend",
                "--tensor-parallel-size",
                "-tp",
                "--pipeline-parallel-size",
                "-pp",
            ),
            OF_THE_PLAN,
        ),
        **dict.fromkeys(
            ("--data-parallel-size", "-dp", "--nnodes", "-n", "--node-rank", "-r", "--headless"),
            "is not for a replica on Ray: use nodes, parallelism and spec.replicas",
        ),
    }
)


class Vllm:
    """vLLM over the nodes of a Ray cluster."""

    name = "vllm"
    # Its own environment fetches the model: a Hugging Face folder is made there, by the libraries that will read it.
    model_format: ModelFormat | None = None

    def problems(self, serving: Serving) -> tuple[FieldError, ...]:
        """Return what vLLM on Ray cannot do of ``serving``; see Engine."""
        return (
            *_parallelism_problems(serving),
            *_model_problems(serving),
            *flag_problems(serving.arguments, _REFUSED),
            *drain_problems(_DRAIN_FLAG, _drain_seconds(serving.arguments)),
        )

    def launch_plan(self, serving: Serving) -> LaunchPlan:
        """Return how head and workers are started; see Engine."""
        frame = launch_frame(serving, _drain_seconds(serving.arguments))
        ray_start = _ray_start_params(serving)
        return LaunchPlan(
            image=IMAGE,
            ray_version=RAY_VERSION,
            head=head_launch(frame, ray_start),
            worker=worker_launch(frame, ray_start),
            probe=EngineProbe(port=ENGINE_PORT, nodes_port=NODES_PORT, traffic=TRAFFIC),
            bring=bring_command(serving.model, serving.arguments),
        )


def _ray_start_params(serving: Serving) -> Mapping[str, str]:
    """Return the slots of a node.

    Without accelerators one logical slot holds the node's one rank; KubeRay counts what is no GPU.
    """
    resources = serving.resources
    if not resources.accelerators:
        return {"num-gpus": "1"}
    return {"num-gpus": str(resources.accelerators)} if resources.accelerator_resource.endswith("gpu") else {}


def _parallelism_problems(serving: Serving) -> Iterator[FieldError]:
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


def _model_problems(serving: Serving) -> Iterator[FieldError]:
    reference = split_reference(serving.model)
    if reference.scheme == PATH_SCHEME and not reference.rest.startswith("/"):
        yield FieldError(
            path="spec.serving.model",
            message=f"{serving.model!r} is not an absolute path, and the nodes share no working folder; "
            "write it from the root (/models/name)",
        )


def _drain_seconds(arguments: tuple[str, ...]) -> int:
    """Return the last ``--shutdown-timeout``, whole seconds; vLLM's default, 0, when there is none that can be read."""
    seconds = 0
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        flag, is_joined, joined = argument.partition("=")
        value = joined if is_joined else following
        if flag.replace("_", "-") == _DRAIN_FLAG and value.isdecimal():
            seconds = int(value)
    return seconds
