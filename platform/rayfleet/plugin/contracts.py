"""What a plugin's contributions must be able to do; held by the type checker."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from rayfleet.model.engine import EngineCommand, LaunchPlan
from rayfleet.model.errors import FieldError
from rayfleet.model.serving import Serving

ENTRY_POINT_GROUP = "rayfleet.plugins"
ABSENT_PLUGIN = (
    f"Others come with a package that has an entry point in {ENTRY_POINT_GROUP}; "
    "RAYFLEET_DISABLE_PLUGINS may be hiding one."
)


class ModelFormat(StrEnum):
    """On-disk forms of a model."""

    GGUF = "gguf"
    HUGGING_FACE = "huggingface"


class Engine(Protocol):
    """An inference engine, as data. All methods are pure and cheap."""

    name: str
    # The form in which its pods have a model source bring a model; None when the pods' own environment sees to that.
    model_format: ModelFormat | None

    def problems(self, serving: Serving) -> tuple[FieldError, ...]:
        """Return what this engine cannot do of ``serving``; paths begin with ``spec.serving``.

        Empty when all is well.
        """
        ...

    def launch_plan(self, serving: Serving) -> LaunchPlan:
        """Return how head and workers are started; ``problems`` was empty."""
        ...


class ModelSource(Protocol):
    """Brings the files of a model to this machine."""

    scheme: str

    def fetch(self, reference: str, form: ModelFormat, cache: Path, progress: Callable[[str], None]) -> Path:
        """Return the file (GGUF) or folder (Hugging Face) of the model.

        Blocking, safe to repeat and to run twice at once.

        ``reference`` is what stands after ``scheme:``. ``progress`` takes short lines for people.
        Raises EnvironmentProblem, naming the reference and the way out.
        """
        ...


class CommandReader(Protocol):
    """Reads what people wrote into a template themselves, for an engine. All methods are pure and cheap."""

    name: str  # the engine's

    def read(self, words: Sequence[str]) -> EngineCommand | None:
        """Return what a command line starts; None when it does not start this engine.

        ``words`` are one simple command of a shell, without assignments and keywords before it.
        """
        ...

    def image_lack(self, image: str) -> str:
        """Return what a published image of the engine lacks to join a Ray cluster; empty for any other image.

        In words after the image's name, with the way out: ``ships no Ray; build one ...``.
        """
        ...
