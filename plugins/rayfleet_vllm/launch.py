"""How vLLM is started over the nodes of a Ray cluster. Pure.

Stock images hold no rayfleet, so the head is handed the text of the observer: it serves Ray's own view of the nodes to
the sidecar, and lets vLLM start once all nodes are there.
"""

import shlex
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from rayfleet.model.ports import ENGINE_PORT
from rayfleet.model.serving import Serving
from rayfleet.plugin.arguments import flag_value
from rayfleet.plugin.frame import RAY_VERSION, Frame
from rayfleet.plugin.reference import PATH_SCHEME, split_reference

NODES_PORT = 8081

_NODES_SECONDS = 600
# vLLM loads the safetensors of a repository, and what is beside them that is small.
_SNAPSHOT = (
    "import sys; from huggingface_hub import snapshot_download; name, revision, folder = sys.argv[1:]; "
    "snapshot_download(name, revision=revision or None, cache_dir=folder or None, "
    "ignore_patterns=['original/**', 'consolidated*', '*.gguf', '*.pth', '*.onnx', '*.h5', '*.msgpack'])"
)


def launch_frame(serving: Serving, drain_seconds: float) -> Frame:
    """Return what vLLM gives to the scripts; ``drain_seconds`` is its own ``--shutdown-timeout``."""
    reference = split_reference(serving.model)
    # A path is the engine's to read as it stands; only other schemes have to be brought, on every node.
    is_brought = reference.scheme not in {"", PATH_SCHEME}
    model = shlex.quote(reference.rest if reference.scheme == PATH_SCHEME else serving.model)
    observer = 'python3 -c "$observer_text"'
    shown_model = '"$model"' if is_brought else model
    return Frame(
        command=f'vllm serve {shown_model} --host "$POD_IP" --port {ENGINE_PORT} {shlex.join(_arguments(serving))}',
        before=f'{observer} wait "$POD_IP" {NODES_PORT} {serving.nodes} {_NODES_SECONDS} || exit 1',
        companions={"observer of Ray's nodes": f'{observer} serve "$POD_IP" {NODES_PORT}'},
        definitions=f"observer_text={shlex.quote(_observer_text())}",
        bring=bring_command(serving.model, ()) if is_brought else "",
        programs=("vllm", "python3"),
        way_out="vLLM spans nodes by Ray, and stock vLLM images of 2026 ship none: build an image FROM yours with "
        f"ray=={RAY_VERSION} in it, and name it in spec.serving.image.",
        drain_seconds=drain_seconds,
        # The address by which ranks find one another; Ray hands a node's environment on to the actors there.
        environment={"VLLM_HOST_IP": "$(POD_IP)"},
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


def _arguments(serving: Serving) -> tuple[str, ...]:
    return (
        *("--served-model-name", serving.served_model_name),
        *("--distributed-executor-backend", "ray"),
        *("--tensor-parallel-size", str(serving.parallelism.tensor)),
        *("--pipeline-parallel-size", str(serving.parallelism.pipeline)),
        *serving.arguments,
    )


@cache
def _observer_text() -> str:
    return files("rayfleet_vllm").joinpath("observer.py").read_text(encoding="utf-8")
