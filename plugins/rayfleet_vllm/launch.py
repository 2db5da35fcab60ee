"""What vLLM gives to the scripts of its nodes, on Ray and without. Pure.

On Ray the head alone runs ``vllm serve``, which leaves at home what is one node's own: vLLM 0.32.0 reads the names from
``ray_non_carry_over_env_vars.json`` in its folder of settings. Without Ray there is one ``vllm serve`` a node, which
knows its rank: ``--nnodes``, ``--node-rank``, and ``--headless`` for all but the first.
"""

import json
import shlex
from types import MappingProxyType

from rayfleet.model.ports import ENGINE_PORT
from rayfleet.model.serving import Backend, Serving
from rayfleet.plugin.frame import RAY_VERSION, Frame
from rayfleet.plugin.model_split import split_look
from rayfleet.plugin.ray_frame import NODE_OWN
from rayfleet.plugin.splitting import joined, script_bring, shown_model
from rayfleet_vllm.load import load_flags

_API = f'--host "$POD_IP" --port {ENGINE_PORT}'
_MEETING = '--master-addr "$head_address" --master-port "$rendezvous"'
# The address by which ranks find one another.
_ENVIRONMENT = MappingProxyType({"VLLM_HOST_IP": "$(POD_IP)"})
_STAY_AT_HOME = f"""\
export VLLM_CONFIG_ROOT="${{VLLM_CONFIG_ROOT:-${{TMPDIR:-/tmp}}/rayfleet-vllm-$POD_IP}}"
mkdir -p "$VLLM_CONFIG_ROOT"
[ -e "$VLLM_CONFIG_ROOT/ray_non_carry_over_env_vars.json" ] ||
  echo {shlex.quote(json.dumps(NODE_OWN))} >"$VLLM_CONFIG_ROOT/ray_non_carry_over_env_vars.json"
"""
_WITH_RAY = (
    "vLLM spans nodes by Ray here, and stock vLLM images of 2026 ship none: take spec.serving.backend mp, or build an "
    f"image FROM yours with ray=={RAY_VERSION} in it, and name it in spec.serving.image."
)


def vllm_frame(serving: Serving, backend: Backend, rank: int, drain_seconds: float) -> Frame:
    """Return what vLLM gives to the scripts of a rank; ``drain_seconds`` is its own ``--shutdown-timeout``."""
    is_alone = backend is Backend.RAY or serving.nodes == 1
    words = (
        f"vllm serve {shown_model(serving.model)}",
        "--headless" if rank else _API,
        "" if is_alone else f"--nnodes {serving.nodes} --node-rank {rank} {_MEETING}",
        shlex.join(_arguments(serving, backend, rank)),
    )
    return Frame(
        command=joined(words),
        before=f"{_STAY_AT_HOME if backend is Backend.RAY else ''}{split_look(serving, shown_model(serving.model))}",
        bring=script_bring(serving.model),
        programs=("vllm", "python3"),
        way_out=_WITH_RAY if backend is Backend.RAY else "Name one in spec.serving.image that has vLLM.",
        part=_part(serving, backend),
        drain_seconds=drain_seconds,
        environment=_ENVIRONMENT,
    )


def _part(serving: Serving, backend: Backend) -> str:
    """Return how the names of its core and ranks begin; on Ray only ranks are on every node, in actors.

    RayWorkerProc is an actor of vLLM 0.32.0, RayWorkerWrapper one of its former executor.
    """
    if backend is Backend.RAY:
        return "ray::RayWorker"
    return "VLLM::" if serving.nodes > 1 else ""


def _arguments(serving: Serving, backend: Backend, rank: int) -> tuple[str, ...]:
    return (
        *("--served-model-name", serving.served_model_name),
        *("--distributed-executor-backend", backend.value),
        *("--tensor-parallel-size", str(serving.parallelism.tensor)),
        *("--pipeline-parallel-size", str(serving.parallelism.pipeline)),
        *(() if rank else load_flags(serving)),
        *serving.arguments,
    )
