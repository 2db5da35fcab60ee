"""The engine as data: what it can do, how it is started. Pure.

vLLM splits one model over the nodes. The head joins Ray, waits for all nodes and starts ``vllm serve``, which places
one rank per accelerator by a placement group; workers only run Ray. A lost rank ends the engine (vLLM 0.32.0), and with
it the head.
"""

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from types import MappingProxyType

from rayfleet.model.engine import EngineProbe, LaunchPlan, NodeLaunch
from rayfleet.model.errors import FieldError
from rayfleet.model.serving import Serving
from rayfleet.plugin.contracts import ModelFormat
from rayfleet.plugin.reference import PATH_SCHEME, split_reference
from rayfleet_vllm.scripts import RAY_VERSION, Launch, Limits, head_script, worker_script

# The stock images of 2026 ship no Ray any more, and the head script says so and ends: this default wants one that was
# built
# `FROM` it with Ray of RAY_VERSION, under the same name in the cluster's registry or under another in
# `spec.serving.image`.
IMAGE = "vllm/vllm-openai:v0.14.0"
PORT = 8000
NODES_PORT = 8081

# When a head starts anew, raylets of its former life must end soon, so that their pods join the new one: Ray's default
# is 60 s.
_ENVIRONMENT = MappingProxyType(
    {
        "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
        "RAY_raylet_liveness_self_check_interval_ms": "3000",
    }
)

# What the launch plan sets itself; vLLM takes `_` for `-` in flags.
_OF_THE_PLAN = frozenset(
    {
        "--model",
        "--served-model-name",
        "--host",
        "--port",
        "--distributed-executor-backend",
        "--tensor-parallel-size",
        "-tp",
        "--pipeline-parallel-size",
        "-pp",
    }
)
_OTHER_WAYS_TO_SPREAD = frozenset({"--data-parallel-size", "-dp", "--nnodes", "-n", "--node-rank", "-r", "--headless"})

# After the drain of --shutdown-timeout (vLLM's default: none) it ends within this time, or hangs.
_END_SECONDS = 10
# A pod is killed 60 s after it was told to end; the head waits for its gateways first, and Ray wants some seconds too.
_MOST_DRAIN_SECONDS = 40


class Vllm:
    """vLLM over the nodes of a Ray cluster."""

    name = "vllm"
    # Its own environment fetches the model: a Hugging Face folder is made there, by the libraries that will read it.
    model_format: ModelFormat | None = None

    def problems(self, serving: Serving) -> tuple[FieldError, ...]:
        """Return what vLLM on Ray cannot do of ``serving``; see Engine."""
        return (*_parallelism_problems(serving), *_model_problems(serving), *_argument_problems(serving))

    def launch_plan(self, serving: Serving) -> LaunchPlan:
        """Return how head and workers are started; see Engine."""
        reference = split_reference(serving.model)
        launch = Launch(
            # A path is the engine's to read as it stands; only other schemes have to be brought.
            model=reference.rest if reference.scheme == PATH_SCHEME else serving.model,
            is_fetched=reference.scheme not in {"", PATH_SCHEME},
            nodes=serving.nodes,
            port=PORT,
            nodes_port=NODES_PORT,
            arguments=_engine_arguments(serving),
        )
        limits = Limits(stop=(_drain_seconds(serving.arguments) or 0) + _END_SECONDS)
        environment = {**_ENVIRONMENT, **serving.environment}
        ray_start = _ray_start_params(serving)
        return LaunchPlan(
            image=serving.image or IMAGE,
            ray_version=serving.ray_version or RAY_VERSION,
            head=NodeLaunch(script=head_script(launch, limits), environment=environment, ray_start_params=ray_start),
            worker=NodeLaunch(
                script=worker_script(launch, limits), environment=environment, ray_start_params=ray_start
            ),
            probe=EngineProbe(port=PORT, nodes_port=NODES_PORT),
        )


def _engine_arguments(serving: Serving) -> tuple[str, ...]:
    return (
        *("--served-model-name", serving.served_model_name),
        *("--distributed-executor-backend", "ray"),
        *("--tensor-parallel-size", str(serving.parallelism.tensor)),
        *("--pipeline-parallel-size", str(serving.parallelism.pipeline)),
        *serving.arguments,
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


def _argument_problems(serving: Serving) -> Iterator[FieldError]:
    for index, argument in enumerate(serving.arguments):
        flag = argument.partition("=")[0]
        flag = flag.replace("_", "-") if flag.startswith("--") else flag
        message = ""
        if flag in _OF_THE_PLAN:
            message = f"{flag} is set by rayfleet from the other fields of spec.serving"
        elif flag in _OTHER_WAYS_TO_SPREAD:
            message = f"{flag} is not for a replica on Ray: use nodes, parallelism and spec.replicas"
        elif flag in {"-h", "--help"}:
            message = f"{flag} would end the engine at once"
        if message:
            yield FieldError(path=f"spec.serving.args[{index}]", message=message)
    drain = _drain_seconds(serving.arguments)
    if drain is not None and drain > _MOST_DRAIN_SECONDS:
        yield FieldError(
            path="spec.serving.args",
            message=f"--shutdown-timeout {drain} is more than {_MOST_DRAIN_SECONDS}, "
            "and the pod would be killed before it ends",
        )


def _drain_seconds(arguments: tuple[str, ...]) -> int | None:
    """Return the last ``--shutdown-timeout``, whole seconds; None when there is none that can be read."""
    found = None
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        flag, is_joined, joined = argument.partition("=")
        value = joined if is_joined else following
        if flag.replace("_", "-") == "--shutdown-timeout" and value.isdecimal():
            found = int(value)
    return found
