"""``python padding.py SOURCE TARGET RANKS``: a model whose heads so many ranks divide. For vLLM's environment.

SmolLM2 has 9 query heads and 3 of keys and values, which two ranks cannot share. A head of zeros changes nothing: what
attention makes of it meets columns of zeros in the output projection. So 12 and 4 heads compute what 9 and 3 do.
"""

import json
import math
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WEIGHTS = "model.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """Heads of attention before and after; ``size`` is a head's width."""

    queries: int
    values: int
    padded_queries: int
    padded_values: int
    size: int


def padded_heads(config: Mapping[str, Any], ranks: int) -> Heads:
    """Return the fewest heads that ``ranks`` divide, with as many queries to a key as before. Pure.

    9 and 3 heads become 12 and 4 for two ranks.
    """
    queries, values = int(config["num_attention_heads"]), int(config["num_key_value_heads"])
    more = math.ceil(values / ranks) * ranks
    size = int(config.get("head_dim") or int(config["hidden_size"]) // queries)
    return Heads(
        queries=queries, values=values, padded_queries=more * (queries // values), padded_values=more, size=size
    )


def padded_config(config: Mapping[str, Any], heads: Heads) -> dict[str, Any]:
    """Return a model's configuration with these heads. Pure."""
    return {
        **config,
        "num_attention_heads": heads.padded_queries,
        "num_key_value_heads": heads.padded_values,
        "head_dim": heads.size,
    }


def padded_shape(name: str, shape: tuple[int, ...], heads: Heads) -> tuple[int, ...]:
    """Return the shape of a weight with heads of zeros at its end; that of any other weight is as it was. Pure."""
    more_queries = (heads.padded_queries - heads.queries) * heads.size
    more_values = (heads.padded_values - heads.values) * heads.size
    match name.removesuffix(".weight").rpartition(".")[2]:
        case "q_proj":
            return (shape[0] + more_queries, *shape[1:])
        case "k_proj" | "v_proj":
            return (shape[0] + more_values, *shape[1:])
        case "o_proj":
            return (shape[0], shape[1] + more_queries)
        case _:
            return shape


def pad(source: Path, target: Path, ranks: int) -> None:
    """Write the folder ``target``, which is not there yet."""
    from safetensors.torch import load_file, save_file

    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    heads = padded_heads(config, ranks)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(_WEIGHTS, "config.json"))
    (target / "config.json").write_text(json.dumps(padded_config(config, heads)), encoding="utf-8")
    weights = {}
    for name, weight in load_file(source / _WEIGHTS).items():
        padded = weight.new_zeros(padded_shape(name, tuple(weight.shape), heads))
        padded[tuple(slice(0, length) for length in weight.shape)] = weight
        weights[name] = padded
    save_file(weights, target / _WEIGHTS, metadata={"format": "pt"})


if __name__ == "__main__":
    pad(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
