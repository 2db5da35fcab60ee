"""What rayfleet_trtllm contributes. Imports neither Ray nor TensorRT-LLM."""

from collections.abc import Sequence

from rayfleet.plugin.contracts import CommandReader, Engine
from rayfleet.plugin.hookspecs import hookimpl
from rayfleet_trtllm.engine import TrtLlm
from rayfleet_trtllm.reading import TrtLlmReader

rayfleet_contract = 1


@hookimpl
def rayfleet_engines() -> Sequence[Engine]:
    """Contribute the engine ``trtllm``."""
    return (TrtLlm(),)


@hookimpl
def rayfleet_command_readers() -> Sequence[CommandReader]:
    """Read what people wrote for TensorRT-LLM themselves."""
    return (TrtLlmReader(),)
