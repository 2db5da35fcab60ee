"""What rayfleet_openai contributes."""

from collections.abc import Sequence

from rayfleet.plugin.contracts import Engine
from rayfleet.plugin.hookspecs import hookimpl
from rayfleet_openai.engine import OpenAi

rayfleet_contract = 1
# For `rayfleet plugins check openai`: the arguments are the whole command, and without one there is nothing to try.
rayfleet_sample_args = ("my-server", "--host={host}", "--port", "{port}", "--model", "{model}", "--alias", "{name}")


@hookimpl
def rayfleet_engines() -> Sequence[Engine]:
    """Contribute the engine ``openai``."""
    return (OpenAi(),)
