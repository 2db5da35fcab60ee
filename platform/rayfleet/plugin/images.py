"""What is known of published images, and how an engine spans its nodes in one. Pure.

``auto`` goes by what an image is known to ship: without Ray it is ``mp``, otherwise ``ray``, also where nothing is
known; the scripts tell an image by name that lacks what they need.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rayfleet.model.engine import ImageFacts
from rayfleet.model.errors import FieldError
from rayfleet.model.serving import Backend, Serving
from rayfleet.objects.images import ImageReference, image_reference

BACKEND_PATH = "spec.serving.backend"
RAY = "ray"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """A known hole of an engine: closed in version ``fixed``; ``words`` say what it does to whom."""

    fixed: tuple[int, ...]
    name: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """How an engine spans its nodes, never ``AUTO``, and a clause that says why."""

    backend: Backend
    reason: str


def chosen_backend(serving: Serving, image: str, facts: ImageFacts | None) -> Choice:
    """Return how the engine of ``serving`` spans its nodes in ``image``."""
    if serving.backend is not Backend.AUTO:
        return Choice(backend=serving.backend, reason=f"{BACKEND_PATH} says so")
    if facts is not None and RAY in facts.lacks:
        return Choice(backend=Backend.MP, reason=f"{image} ships no Ray{facts.source and f' ({facts.source})'}")
    if facts is not None and RAY in facts.ships:
        return Choice(backend=Backend.RAY, reason=f"{image} ships Ray{facts.source and f' ({facts.source})'}")
    return Choice(backend=Backend.RAY, reason=f"nothing is known of {image}, and Ray is the usual way")


def backend_problems(serving: Serving, image: str, facts: ImageFacts | None) -> tuple[FieldError, ...]:
    """Return what is wrong with a backend that the manifest names itself; nothing of ``auto``."""
    if serving.backend is not Backend.RAY or facts is None or RAY not in facts.lacks:
        return ()
    message = (
        f"ray, but {image} ships no Ray{facts.source and f' ({facts.source})'}: take mp or auto, or an image that was"
        " built FROM it with Ray"
    )
    return (FieldError(path=BACKEND_PATH, message=message),)


def ray_only_problems(serving: Serving) -> tuple[FieldError, ...]:
    """Return what is wrong with a backend that the manifest names itself, for an engine that needs Ray."""
    if serving.backend is not Backend.MP:
        return ()
    return (FieldError(path=BACKEND_PATH, message=f"mp, but {serving.engine} needs Ray: take ray or auto"),)


def risks(version: tuple[int, ...] | None, holes: Sequence[Hole]) -> tuple[str, ...]:
    """Return the known holes of a version, one sentence each; none of one that is not known."""
    if version is None:
        return ()
    return tuple(
        f"{hole.name}: {hole.words}; closed in {'.'.join(map(str, hole.fixed))}"
        for hole in holes
        if version < hole.fixed
    )


def tagged_version(reference: ImageReference) -> tuple[int, ...] | None:
    """Return the version that an image's tag begins with, ``v0.18.1-cu130`` is (0, 18, 1); None when it does not.

    A release candidate counts as the version before: ``1.3.0rc14`` is (1, 2, 999).
    """
    text = reference.tag.removeprefix("v")
    numbers: list[int] = []
    while text[:1].isdecimal():
        digits = text[: len(text) - len(text.lstrip("0123456789"))]
        numbers.append(int(digits))
        text = text[len(digits) :].removeprefix(".")
    if len(numbers) < 2:
        return None
    return _before(numbers) if text.startswith("rc") else tuple(numbers)


def is_named(image: str, names: Collection[str]) -> bool:
    """Return whether an image has one of these names, whatever its tag."""
    return image_reference(image).name in names


def _before(numbers: Sequence[int]) -> tuple[int, ...]:
    """Return a version that lies between the last one before ``numbers`` and ``numbers``."""
    *front, last = numbers
    if last:
        return (*front, last - 1, 999)
    return (*_before(front)[: len(front)], 999) if any(front) else tuple(numbers)
