"""What a plugin's contributions must be able to do; held by the type checker.

A plugin says in its module for which version of the contract it was written, as a number that stands there:
``rayfleet_contract = 1``. Hooks, what they contribute and what those are given and give back are the contract, as
tests/golden/contract shows it. What is added and may be left out keeps the version; anything else is the next one.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from rayfleet.model.engine import EngineCommand, LaunchPlan
from rayfleet.model.errors import FieldError
from rayfleet.model.serving import Serving

CONTRACT = 1
ENTRY_POINT_GROUP = "rayfleet.plugins"
ABSENT_PLUGIN = (
    f"Others come with a package that has an entry point in {ENTRY_POINT_GROUP}; "
    "RAYFLEET_DISABLE_PLUGINS may be hiding one."
)


# Calls a function and returns what it returns, but raises Overdue when it does not end within so many seconds.
Bounded = Callable[[Callable[[], Any], float], Any]


def unbounded(function: Callable[[], Any], _limit_seconds: float) -> Any:
    """Return what ``function`` returns, whenever that is."""
    return function()


def contract_of(plugin: object) -> int | None:
    """Return the version of the contract for which a plugin says that it was written, None where it says none."""
    version = getattr(plugin, "rayfleet_contract", None)
    return version if type(version) is int else None


def sample_args_of(plugin: object) -> tuple[str, ...]:
    """Return some ``spec.serving.args`` that a plugin says its engine takes, if it needs to: see plugins/README.md.

    Only who tries the engine without knowing more of it asks.
    """
    sample = getattr(plugin, "rayfleet_sample_args", ())
    return tuple(map(str, sample)) if isinstance(sample, tuple | list) else ()


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

    def image_risks(self, image: str) -> Sequence[str]:
        """Return the known holes of a published image of the engine that a newer version closes, a sentence each.

        Empty for any other image.
        """
        ...


class RequestView(Protocol):
    """What filters, scorers and pickers see of a request; read-only."""

    @property
    def model(self) -> str:
        """The model asked for, empty where the path names none."""
        ...

    @property
    def path(self) -> str:
        """The path, decoded, without the query: ``/v1/chat/completions``."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers as the client sent them, by name in lower case: a session's name stands here."""
        ...

    @property
    def body(self) -> bytes:
        """The body as it came, perhaps compressed: the prompt stands here. Do not parse a large one."""
        ...

    @property
    def request_id(self) -> str:
        """What the log calls the request."""
        ...


class EndpointView(Protocol):
    """What filters, scorers and pickers see of a ready endpoint; read-only."""

    @property
    def name(self) -> str:
        """Address and port, ``10.0.0.7:8000``; two endpoints never have the same at one time."""
        ...

    @property
    def in_flight(self) -> int:
        """How many requests of this gateway process are there now."""
        ...

    @property
    def share(self) -> float:
        """How much of its part it takes, in (0, 1]: less than 1 after it was overloaded, failed or came back."""
        ...


class Filter(Protocol):
    """Says which endpoints may be asked. Called for each request that a profile with it takes, in the gateway's loop.

    So are the other two: at once, without waiting for anything.
    """

    name: str

    def keep(self, request: RequestView, endpoints: Sequence[EndpointView]) -> Sequence[bool]:
        """Return whether each of ``endpoints`` may be asked, in their order; there is at least one.

        With none left the client gets a 503.
        """
        ...


class Scorer(Protocol):
    """Says how good each endpoint is for a request."""

    name: str

    def score(self, request: RequestView, endpoints: Sequence[EndpointView]) -> Sequence[float]:
        """Return a number in [0, 1] for each of ``endpoints``, in their order; 1 is best. There is at least one."""
        ...


class Picker(Protocol):
    """Chooses by the scores."""

    name: str

    def pick(
        self, request: RequestView, endpoints: Sequence[EndpointView], scores: Sequence[float], chance: float
    ) -> int:
        """Return the place of the chosen one in ``endpoints``; there is at least one.

        ``scores`` are the sums of a profile's scorers, one for each endpoint, or empty where nothing scores.
        ``chance`` in [0, 1) decides among equals, so that several gateways do not all choose the same.
        """
        ...
