"""A fault of ours in one request is that request's end, not its connection's, and never another request's."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

log = logging.getLogger(__name__)


class Guarded(Protocol):
    """What can be ended after a fault."""

    request_id: str

    def fail(self) -> None:
        """End it."""
        ...


_P = ParamSpec("_P")
_G = TypeVar("_G", bound=Guarded)


def guarded(step: Callable[Concatenate[_G, _P], None]) -> Callable[Concatenate[_G, _P], None]:
    """Return ``step``, a method that a callback of the loop calls, as one that raises nothing."""

    @wraps(step)
    def called(one: _G, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            step(one, *args, **kwargs)
        except Exception:
            log.exception("request failed", extra={"request_id": one.request_id})
            one.fail()

    return called
