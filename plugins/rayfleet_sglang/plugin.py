"""What rayfleet_sglang contributes. Imports neither Ray nor SGLang."""

from collections.abc import Sequence

from rayfleet.plugin.contracts import CommandReader, Engine
from rayfleet.plugin.hookspecs import hookimpl
from rayfleet_sglang.engine import Sglang
from rayfleet_sglang.reading import SglangReader

rayfleet_contract = 1


@hookimpl
def rayfleet_engines() -> Sequence[Engine]:
    """Contribute the engine ``sglang``."""
    return (Sglang(),)


@hookimpl
def rayfleet_command_readers() -> Sequence[CommandReader]:
    """Read what people wrote for SGLang themselves."""
    return (SglangReader(),)
