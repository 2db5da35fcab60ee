"""How vLLM is started over the nodes of a replica, by Ray or by itself. Pure.

Stock images hold no rayfleet, so the head of a Ray cluster is handed the text of the observer: it serves Ray's own view
of the nodes to the sidecar, and lets vLLM start once all nodes are there. Without Ray there is one ``vllm serve`` a
node, which knows its rank (vLLM 0.32.0: ``--nnodes``, ``--node-rank``, and ``--headless`` for all but the first).
"""

import shlex
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from rayfleet.model.ports import ENGINE_PORT
from rayfleet.model.serving import Backend, Serving
from rayfleet.plugin.arguments import flag_value
from rayfleet.plugin.frame import RAY_VERSION, Frame
from rayfleet.plugin.reference import PATH_SCHEME, split_reference

NODES_PORT = 8081

_NODES_SECONDS = 600
_API = f'--host "$POD_IP" --port {ENGINE_PORT}'
_MEETING = '--master-addr "$head_address" --master-port "$rendezvous"'
# The address by which ranks find one another; Ray hands a node's environment on to the actors there.
_ENVIRONMENT = MappingProxyType({"VLLM_HOST_IP": "$(POD_IP)"})
# vLLM loads the safetensors of a repository, and what is beside them that is small.
_SNAPSHOT = (
    "import sys; from huggingface_hub import snapshot_download; name, revision, folder = sys.argv[1:]; "
    "snapshot_download(name, revision=revision or None, cache_dir=folder or None, "
    "ignore_patterns=['original/**', 'consolidated*', '*.gguf', '*.pth', '*.onnx', '*.h5', '*.msgpack'])"
)


def ray_frame(serving: Serving, drain_seconds: float) -> Frame:
    """Return what vLLM on Ray gives to the scripts; ``drain_seconds`` is its own ``--shutdown-timeout``."""
    observer = 'python3 -c "$observer_text"'
    wait = f'{observer} wait "$POD_IP" {NODES_PORT} {serving.nodes} {_NODES_SECONDS} || exit 1'
    return Frame(
        command=f"{_serve(serving)} {_API} {shlex.join(_arguments(serving, Backend.RAY))}",
        before=wait,
        companions={"observer of Ray's nodes": f'{observer} serve "$POD_IP" {NODES_PORT}'},
        definitions=f"observer_text={shlex.quote(_observer_text())}",
        bring=_bring(serving),
        programs=("vllm", "python3"),
        way_out="vLLM spans nodes by Ray here, and stock vLLM images of 2026 ship none: take spec.serving.backend mp, "
        f"or build an image FROM yours with ray=={RAY_VERSION} in it, and name it in spec.serving.image.",
        drain_seconds=drain_seconds,
        environment=_ENVIRONMENT,
    )


def rank_frames(serving: Serving, drain_seconds: float) -> tuple[Frame, ...]:
    """Return what vLLM without Ray gives to the scripts, one frame a node, the head first."""
    return tuple(_rank_frame(serving, rank, drain_seconds) for rank in range(serving.nodes))


def _rank_frame(serving: Serving, rank: int, drain_seconds: float) -> Frame:
    words = [_serve(serving), "--headless" if rank else _API]
    if serving.nodes > 1:
        words += [f"--nnodes {serving.nodes} --node-rank {rank}", _MEETING]
    words.append(shlex.join(_arguments(serving, Backend.MP)))
    return Frame(
        command=" ".join(words),
        bring=_bring(serving),
        programs=("vllm", "python3"),
        way_out="Name one in spec.serving.image that has vLLM.",
        drain_seconds=drain_seconds,
        environment=_ENVIRONMENT,
    )


def bring_command(model: str, arguments: Sequence[str]) -> str:
    """Return what brings a model before vLLM is started; of a hub's, as vLLM would, by the library that it uses.

    ``arguments`` are vLLM's. What a path names is there, or not.
    """
    reference = split_reference(model)
    if reference.scheme == PATH_SCHEME:
        return ""
    if reference.scheme:
        return f"python3 -m rayfleet_models fetch {shlex.quote(model)} --format huggingface"
    revision, folder = flag_value(arguments, "--revision"), flag_value(arguments, "--download-dir")
    return shlex.join(("python3", "-c", _SNAPSHOT, model, revision or "", folder or ""))


def _serve(serving: Serving) -> str:
    reference = split_reference(serving.model)
    model = shlex.quote(reference.rest if reference.scheme == PATH_SCHEME else serving.model)
    shown_model = '"$model"' if _bring(serving) else model
    return f"vllm serve {shown_model}"


def _bring(serving: Serving) -> str:
    """Return the command of the scripts; a path is the engine's to read as it stands, and so is a hub's name."""
    is_brought = split_reference(serving.model).scheme not in {"", PATH_SCHEME}
    return bring_command(serving.model, ()) if is_brought else ""


def _arguments(serving: Serving, backend: Backend) -> tuple[str, ...]:
    return (
        *("--served-model-name", serving.served_model_name),
        *("--distributed-executor-backend", backend.value),
        *("--tensor-parallel-size", str(serving.parallelism.tensor)),
        *("--pipeline-parallel-size", str(serving.parallelism.pipeline)),
        *serving.arguments,
    )


@cache
def _observer_text() -> str:
    return files("rayfleet_vllm").joinpath("observer.py").read_text(encoding="utf-8")
