"""What rayfleet_llamacpp contributes. Imports neither Ray nor llama.cpp."""

from collections.abc import Sequence

from rayfleet.model.engine import LocalEnvironment
from rayfleet.plugin.contracts import Engine
from rayfleet.plugin.hookspecs import hookimpl
from rayfleet_llamacpp.engine import LlamaCpp
from rayfleet_llamacpp.images import IMAGE_NAME, LOCAL_RPC_IMAGE, RPC_ENVIRONMENT

rayfleet_contract = 1
# For `rayfleet plugins check llamacpp`: the driver reads its arguments, and refuses what it does not know.
rayfleet_sample_args = ("--threads", "2", "--context-tokens=8192")


@hookimpl
def rayfleet_engines() -> Sequence[Engine]:
    """Contribute the engine ``llamacpp``."""
    return (LlamaCpp(),)


@hookimpl
def rayfleet_local_environments() -> Sequence[LocalEnvironment]:
    """Let the environment that runs the node stand for the engine's image: both come with ``rayfleet[local]``.

    llama.cpp's own programs, built once by ``rayfleet.testing.llamacpp_rpc``, stand for an image that splits a model.
    """
    return (
        LocalEnvironment(
            name="llamacpp", images=(IMAGE_NAME,), way_out="Install the extra: pip install rayfleet[local]"
        ),
        LocalEnvironment(
            name="llamacpp-rpc",
            images=(LOCAL_RPC_IMAGE,),
            cache_folder=f"engines/{RPC_ENVIRONMENT}",
            way_out="run `make engines-full`",
        ),
    )
