"""Whether the parallelism that is asked for fits the model, before anything is started. Pure.

Of some models it is known by their names how many heads and layers they have; of others their ``config.json`` tells:
``rayfleet lint`` reads it where the folder is on this machine, the scripts of the nodes where it is there
(``rayfleet.plugin.split_check``).
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from types import MappingProxyType

from rayfleet.model.errors import FieldError
from rayfleet.model.serving import Serving
from rayfleet.plugin.arguments import count_value, has_flag
from rayfleet.plugin.reference import split_reference
from rayfleet.plugin.split_check import Shape, split_lacks

# Read when this is imported, since plans are made where nothing may wait for a file.
_CHECK = files("rayfleet.plugin").joinpath("split_check.py").read_text(encoding="utf-8")

# From the config.json of the repositories. Instruction-tuned ones have the shape of their base.
_KNOWN: Mapping[str, Shape] = MappingProxyType(
    {
        "HuggingFaceTB/SmolLM2-135M": Shape(heads=9, key_heads=3, layers=30),
        "HuggingFaceTB/SmolLM2-360M": Shape(heads=15, key_heads=5, layers=32),
        "HuggingFaceTB/SmolLM2-1.7B": Shape(heads=32, key_heads=32, layers=24),
        "Qwen/Qwen2.5-0.5B": Shape(heads=14, key_heads=2, layers=24),
        "Qwen/Qwen2.5-1.5B": Shape(heads=12, key_heads=2, layers=28),
        "Qwen/Qwen2.5-7B": Shape(heads=28, key_heads=4, layers=28),
        "Qwen/Qwen2.5-Coder-7B": Shape(heads=28, key_heads=4, layers=28),
        "Qwen/Qwen2.5-32B": Shape(heads=40, key_heads=8, layers=64),
        "Qwen/Qwen2.5-72B": Shape(heads=64, key_heads=8, layers=80),
        "meta-llama/Llama-3.2-3B": Shape(heads=24, key_heads=8, layers=28),
        "meta-llama/Llama-3.1-8B": Shape(heads=32, key_heads=8, layers=32),
        "meta-llama/Llama-3.3-70B": Shape(heads=64, key_heads=8, layers=80),
    }
)
_OTHER_CONFIG = ("--hf-overrides", "--hf-config-path", "--json-model-override-args")  # then the file says little
_SPREAD_FLAGS = ("--enable-expert-parallel", "-ep")  # over all ranks, vLLM
_EXPERT_FLAGS = ("--ep-size", "--expert-parallel-size", "--ep")  # over so many, SGLang and TensorRT-LLM
SPLIT_PATH = "spec.serving.parallelism"


def known_shape(model: str) -> Shape | None:
    """Return the shape of a model whose name is known."""
    return _KNOWN.get(model.removesuffix("-Instruct"))


def split_problems(serving: Serving, shape: Shape | None = None) -> Iterator[FieldError]:
    """Yield why the model cannot be split as ``serving`` asks; nothing where its shape is not known."""
    shape = shape or known_shape(serving.model)
    if shape is None or has_other_config(serving.arguments):
        return
    tensor, pipeline = serving.parallelism.tensor, serving.parallelism.pipeline
    for lack in split_lacks(shape, tensor, pipeline, expert_ranks(serving.arguments, tensor)):
        yield FieldError(path=SPLIT_PATH, message=f"{serving.model} cannot be split so: {lack}")


def split_look(serving: Serving, model: str) -> str:
    """Return shell lines that end a script with a word when the folder ``model`` cannot be split so.

    ``model`` is a word of a shell, ``python3`` has to be in the image. Empty where nothing is split, and for a hub's
    name, which is no folder yet.
    """
    tensor, pipeline = serving.parallelism.tensor, serving.parallelism.pipeline
    sizes = (tensor, pipeline, expert_ranks(serving.arguments, tensor))
    if max(sizes) == 1 or has_other_config(serving.arguments) or not split_reference(serving.model).scheme:
        return ""
    return f"python3 -c {shlex.quote(_CHECK)} splits {model} {' '.join(map(str, sizes))} || exit 1\n"


def has_other_config(arguments: Sequence[str]) -> bool:
    """Return whether the engine is told to see the model otherwise than its file says."""
    return any(has_flag(arguments, flag) for flag in _OTHER_CONFIG)


def expert_ranks(arguments: Sequence[str], ranks: int) -> int:
    """Return over how many of ``ranks`` the experts are spread; 1 where every rank has a part of each."""
    is_spread = any(has_flag(arguments, flag) for flag in _SPREAD_FLAGS)
    return ranks if is_spread else count_value(arguments, 1, *_EXPERT_FLAGS)
