"""What rayfleet_openai contributes."""

from collections.abc import Sequence

from rayfleet.plugin.contracts import Engine
from rayfleet.plugin.hookspecs import hookimpl
from rayfleet_openai.engine import OpenAi

rayfleet_contract = 1


@hookimpl
def rayfleet_engines() -> Sequence[Engine]:
    """Contribute the engine ``openai``."""
    return (OpenAi(),)
