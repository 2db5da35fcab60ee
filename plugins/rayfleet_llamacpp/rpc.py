"""llama.cpp with one model split over the nodes of a replica, without Ray. Pure.

Every node lends its devices (``ggml-rpc-server``), and the head's ``llama-server`` puts some of the layers on each: the
weights travel there when it starts, so the head alone needs the model. A node without accelerators lends its cores; the
head too, which has no other way to hold a share of its own. What travels is neither encrypted nor asked for a
password: servers listen on the pods' own addresses, and whoever reaches these can read and write their memory.

``llama-server`` answers that it is well while a server is frozen, and aborts when one is lost (b11434): the ranks watch
one another (``rayfleet.plugin.rank_frame``).
"""

import shlex
from collections.abc import Iterator
from importlib.resources import files
from types import MappingProxyType

from rayfleet.model.engine import EngineProbe, LaunchPlan, TrafficMetrics
from rayfleet.model.errors import FieldError
from rayfleet.model.ports import ENGINE_PORT, RANKS_PORT
from rayfleet.model.serving import Serving
from rayfleet.plugin.arguments import OF_THE_PLAN, flag_problems
from rayfleet.plugin.frame import Frame
from rayfleet.plugin.reference import PATH_SCHEME, split_reference
from rayfleet.plugin.splitting import Splitter, joined, path_problems, place_problems, shown_model, split_plan
from rayfleet_llamacpp.images import IMAGE, IMAGE_NAME, image_facts
from rayfleet_llamacpp.metrics import METRICS

# Read when this is imported, since plans are made where nothing may wait for a file.
_SERVERS = files("rayfleet_llamacpp").joinpath("rpc_servers.py").read_text(encoding="utf-8")

RPC_PORT = 50052  # llama.cpp's own default
TRAFFIC = TrafficMetrics(
    running=("llamacpp:requests_processing",),
    waiting=("llamacpp:requests_deferred",),
    steps=("llamacpp:n_decode_total", "llamacpp:prompt_tokens_total"),
)

_SERVERS_SECONDS = 120  # they listen as soon as they are started
_SERVER = f'ggml-rpc-server --host "$POD_IP" --port {RPC_PORT}'
_NEEDS = "has llama-server and ggml-rpc-server, of a llama.cpp that was built with -DGGML_RPC=ON"
_WAY_OUT = f"Name one in spec.serving.image that {_NEEDS}."
_REFUSED = MappingProxyType(
    {
        **dict.fromkeys(
            ("--model", "-m", "--alias", "-a", "--host", "--port", "--metrics", "--rpc", "--device", "-dev"),
            OF_THE_PLAN,
        ),
        **dict.fromkeys(
            ("--gpu-layers", "--n-gpu-layers", "-ngl", "--fit", "-fit"),
            "is set by rayfleet: all layers go to the nodes of the replica",
        ),
        **dict.fromkeys(
            ("--model-url", "-mu", "--hf-repo", "-hf", "-hfr", "--hf-file", "-hff"),
            "names another model than spec.serving.model",
        ),
    }
)


def rpc_problems(serving: Serving) -> tuple[FieldError, ...]:
    """Return what llama.cpp cannot do of a ``serving`` whose model is split; the model's scheme is the engine's."""
    return (
        *_image_problems(serving),
        *_tensor_problems(serving),
        *place_problems(serving),
        *path_problems(serving),
        *flag_problems(serving.arguments, _REFUSED),
    )


def rpc_plan(serving: Serving) -> LaunchPlan:
    """Return how head and ranks are started; ``rpc_problems`` was empty."""
    bring = _bring_command(serving.model)
    engine = Splitter(
        image=IMAGE,
        image_facts=image_facts,
        metrics=METRICS,
        frame=lambda serving, _, rank: _worker_frame() if rank else _head_frame(serving, bring),
    )
    return split_plan(engine, serving, probe=EngineProbe(port=ENGINE_PORT, traffic=TRAFFIC), bring=bring)


def _bring_command(model: str) -> str:
    """Return what brings a model and prints where it is; what a path names is there, or not."""
    if split_reference(model).scheme == PATH_SCHEME:
        return ""
    return shlex.join(("python3", "-m", "rayfleet_models", "fetch", model, "--format", "gguf"))


def _worker_frame() -> Frame:
    return Frame(command=_SERVER, programs=("ggml-rpc-server", "python3"), way_out=_WAY_OUT)


def _head_frame(serving: Serving, bring: str) -> Frame:
    words = (
        f"llama-server --model {shown_model(serving.model)}",
        f'--alias {shlex.quote(serving.served_model_name)} --host "$POD_IP" --port {ENGINE_PORT} --metrics',
        _split_flags(serving),
        shlex.join(serving.arguments),
    )
    lends = _head_lends(serving)
    return Frame(
        command=joined(words),
        definitions=f"rpc_servers={shlex.quote(_SERVERS)}\n" if serving.nodes > 1 else "",
        before=_before(serving),
        companions={"server of this node's cores": _SERVER} if lends else {},
        bring=bring,
        programs=("llama-server", "python3", *(("ggml-rpc-server",) if lends else ())),
        way_out=_WAY_OUT,
    )


def _head_lends(serving: Serving) -> bool:
    """Return whether the head's share lies in a server too: its own accelerators ``llama-server`` uses itself."""
    return serving.nodes > 1 and not serving.resources.accelerators


def _before(serving: Serving) -> str:
    """Return the lines that find the servers; those of the others alone when the head has none."""
    if serving.nodes == 1:
        return ""
    count = serving.nodes - (not _head_lends(serving))
    ask = f'"$head_address" {RANKS_PORT} {RPC_PORT} {serving.nodes} {count} {_SERVERS_SECONDS}'
    return f'servers=$(python3 -c "$rpc_servers" {ask}) || exit 1\n'


def _split_flags(serving: Serving) -> str:
    """Return the flags that put all layers on the devices of the nodes; by themselves some would stay on the head."""
    if serving.nodes == 1:
        return ""
    devices = ",".join(f"RPC{number}" for number in range(serving.nodes))
    only = f" --device {devices}" if _head_lends(serving) else ""
    return f'--rpc "$servers"{only} --n-gpu-layers all --fit off'


def _image_problems(serving: Serving) -> Iterator[FieldError]:
    if not serving.image:
        message = f"without Ray llamacpp needs an image that {_NEEDS}, and {IMAGE_NAME} has neither: name one"
        yield FieldError(path="spec.serving.image", message=message)


def _tensor_problems(serving: Serving) -> Iterator[FieldError]:
    if serving.parallelism.tensor != 1:
        yield FieldError(
            path="spec.serving.parallelism.tensor",
            message=f"llamacpp gives whole layers to its nodes, so tensor must be 1, not {serving.parallelism.tensor}; "
            "say pipeline instead",
        )
