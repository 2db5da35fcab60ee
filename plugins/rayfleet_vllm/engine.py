"""The engine as data: what it can do, how it is started. Pure.

vLLM splits one model over the nodes. On Ray the head joins it, waits for all nodes and starts ``vllm serve``, which
places one rank per accelerator by a placement group; workers only run Ray. A lost rank ends the engine (vLLM 0.32.0),
and with it the head. Without Ray every node runs vLLM, and a lost rank goes unseen by the others until the next
request: the scripts see to that (``rayfleet.plugin.rank_frame``).
"""

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from types import MappingProxyType

from rayfleet.model.engine import EngineProbe, LaunchPlan, TrafficMetrics
from rayfleet.model.errors import FieldError
from rayfleet.model.ports import ENGINE_PORT
from rayfleet.model.serving import Backend, Serving
from rayfleet.plugin.arguments import OF_THE_PLAN, drain_problems, flag_problems
from rayfleet.plugin.contracts import ModelFormat
from rayfleet.plugin.frame import RAY_VERSION, head_launch, worker_launch
from rayfleet.plugin.images import backend_problems, chosen_backend
from rayfleet.plugin.rank_frame import RANKS_PORT, rank_launches
from rayfleet.plugin.reference import PATH_SCHEME, split_reference
from rayfleet_vllm.images import IMAGE, image_facts
from rayfleet_vllm.launch import NODES_PORT, bring_command, rank_frames, ray_frame

# vLLM 0.32.0. What it answered with 5xx is its fault: its own counter of requests knows only those that it took up.
_HANDLERS = ("/v1/completions", "/v1/chat/completions", "/v1/responses", "/v1/messages")
TRAFFIC = TrafficMetrics(
    running=("vllm:num_requests_running",),
    waiting=("vllm:num_requests_waiting",),
    # A prompt in pieces brings no token for many steps, and none of the counters moves; the cache's use does.
    steps=("vllm:iteration_tokens_total_count", "vllm:generation_tokens_total", "vllm:kv_cache_usage_perc"),
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
            ("--data-parallel-size", "-dp"),
            "is not for one replica: use spec.replicas",
        ),
        **dict.fromkeys(
            ("--nnodes", "-n", "--node-rank", "-r", "--headless", "--master-addr", "--master-port"),
            "is set by rayfleet for each node where it is needed: use nodes, parallelism and backend",
        ),
    }
)


class Vllm:
    """vLLM over the nodes of a replica."""

    name = "vllm"
    # Its own environment fetches the model: a Hugging Face folder is made there, by the libraries that will read it.
    model_format: ModelFormat | None = None

    def problems(self, serving: Serving) -> tuple[FieldError, ...]:
        """Return what vLLM cannot do of ``serving``; see Engine."""
        image = serving.image or IMAGE
        return (
            *backend_problems(serving, image, image_facts(image)),
            *_parallelism_problems(serving),
            *_model_problems(serving),
            *flag_problems(serving.arguments, _REFUSED),
            *drain_problems(_DRAIN_FLAG, _drain_seconds(serving.arguments)),
        )

    def launch_plan(self, serving: Serving) -> LaunchPlan:
        """Return how head and workers are started; see Engine."""
        image = serving.image or IMAGE
        facts = image_facts(image)
        choice = chosen_backend(serving, image, facts)
        drain = _drain_seconds(serving.arguments)
        if choice.backend is Backend.MP:
            head, *ranks = rank_launches(rank_frames(serving, drain))
            worker, nodes_port = (ranks or [head])[0], RANKS_PORT
        else:
            frame, ray_start = ray_frame(serving, drain), _ray_start_params(serving)
            head, worker, ranks = head_launch(frame, ray_start), worker_launch(frame, ray_start), []
            nodes_port = NODES_PORT
        return LaunchPlan(
            image=IMAGE,
            ray_version=RAY_VERSION,
            head=head,
            worker=worker,
            ranks=tuple(ranks),
            probe=EngineProbe(port=ENGINE_PORT, nodes_port=nodes_port, traffic=TRAFFIC),
            bring=bring_command(serving.model, serving.arguments),
            backend=choice.backend,
            backend_reason=choice.reason,
            facts=facts,
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
