"""Heads of zeros, so that ranks divide a model that they would not."""

import pytest

from rayfleet.testing.vllm_cpu.padding import Heads, padded_config, padded_heads, padded_shape

SMOLLM2 = {"num_attention_heads": 9, "num_key_value_heads": 3, "hidden_size": 576, "vocab_size": 49152}
PADDED = Heads(queries=9, values=3, padded_queries=12, padded_values=4, size=64)


@pytest.mark.parametrize(("ranks", "expected"), [(1, (9, 3)), (2, (12, 4)), (3, (9, 3)), (4, (12, 4))])
def test_ranks_divide_the_heads_and_queries_keep_their_keys(ranks: int, expected: tuple[int, int]) -> None:
    heads = padded_heads(SMOLLM2, ranks)
    assert (heads.padded_queries, heads.padded_values) == expected
    assert heads.padded_values % ranks == 0


def test_the_configuration_says_the_size_that_would_no_longer_follow() -> None:
    config = padded_config(SMOLLM2, PADDED)
    assert config == {**SMOLLM2, "num_attention_heads": 12, "num_key_value_heads": 4, "head_dim": 64}


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("model.layers.0.self_attn.q_proj.weight", (576, 576), (768, 576)),
        ("model.layers.0.self_attn.k_proj.weight", (192, 576), (256, 576)),
        ("model.layers.0.self_attn.v_proj.weight", (192, 576), (256, 576)),
        ("model.layers.0.self_attn.o_proj.weight", (576, 576), (576, 768)),
        ("model.layers.0.mlp.up_proj.weight", (1536, 576), (1536, 576)),
        ("model.norm.weight", (576,), (576,)),
    ],
)
def test_only_the_weights_of_heads_grow(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert padded_shape(name, shape, PADDED) == expected
