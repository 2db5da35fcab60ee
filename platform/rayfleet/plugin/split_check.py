"""Whether a model can be split as it is asked to be, from its ``config.json``. Runs in engines' containers too.

Its text is passed to ``python3 -c`` by the scripts of engines that split a model, because stock images hold no
rayfleet: standard library alone. ``splits FOLDER TENSOR PIPELINE EXPERTS`` ends with 1 and a line when the folder's
model cannot be split so, else with 0: also where there is no such file, or nothing in it that is known.

The rules are those that vLLM 0.32.0, SGLang 0.5.23 and TensorRT-LLM have in common, each of which fails after the start
of all ranks: tensor parallelism gives every rank as many attention heads, and as many key and value heads (or several
ranks the same one); a stage of a pipeline has one layer at least, and so has an expert-parallel rank one expert.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# By how model types call them (transformers' configurations); the first that is there counts.
_HEADS = ("num_attention_heads", "n_head", "n_heads")
_KEY_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
_INNER = ("text_config", "llm_config", "language_config")  # of models that see or hear


@dataclass(frozen=True)
class Shape:
    """What of a model is split: attention heads, key and value heads, layers, experts; 0 where nothing is known."""

    heads: int = 0
    key_heads: int = 0
    layers: int = 0
    experts: int = 0


def shape_of(config: Mapping[str, Any]) -> Shape:
    """Return what a ``config.json`` says, or the part of it that generates the text."""
    inner: Mapping[str, Any] = next((config[name] for name in _INNER if isinstance(config.get(name), dict)), {})
    values = {**config, **inner}
    return Shape(*(_count(values, names) for names in (_HEADS, _KEY_HEADS, _LAYERS, _EXPERTS)))


def split_lacks(shape: Shape, tensor: int, pipeline: int, experts: int) -> Iterator[str]:
    """Yield why a model of that shape cannot be split so; its experts are spread over ``experts`` ranks."""
    if shape.heads and shape.heads % tensor:
        yield f"tensor {tensor} does not divide its {shape.heads} attention heads{_way_out(shape)}"
    elif shape.key_heads and shape.key_heads % tensor and tensor % shape.key_heads:
        yield f"tensor {tensor} neither divides its {shape.key_heads} key-value heads nor is a multiple of them"
    if 0 < shape.layers < pipeline:
        yield f"pipeline {pipeline} is more than its {shape.layers} layers"
    if 0 < shape.experts < experts:
        yield f"expert parallelism over {experts} ranks is more than its {shape.experts} experts"


def main(words: list[str]) -> int:
    """Look at a folder; see the module."""
    _, folder, *sizes = words
    try:
        config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0  # it may be a hub's name, or what is wrong with it is the engine's to say
    tensor, pipeline, experts = map(int, sizes)
    lacks = list(split_lacks(shape_of(config), tensor, pipeline, experts)) if isinstance(config, dict) else []
    if lacks:
        sys.stderr.write(f"rayfleet: {folder} cannot be split so: {'; '.join(lacks)}\n")
    return 1 if lacks else 0


def _count(values: Mapping[str, Any], names: tuple[str, ...]) -> int:
    return next((values[name] for name in names if type(values.get(name)) is int and values[name] > 0), 0)


def _way_out(shape: Shape) -> str:
    sizes = [size for size in range(1, shape.heads + 1) if shape.heads % size == 0]
    return f" (these do: {', '.join(map(str, sizes))})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
