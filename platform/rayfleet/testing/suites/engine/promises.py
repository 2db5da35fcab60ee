"""How a suite says what it checks: each check names the place of the contract that it holds, and what it may need.

A check is a method ``test_...`` with :func:`promise`. What an engine does not have (a drain, a metrics page) is said by
an attribute of the suite, and the checks of it are off: they are not collected, and ``rayfleet plugins check`` says
which they are. The docstring of a check is the promise itself, in words.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Method = TypeVar("Method", bound=Callable[..., None])
_PREFIX = "test_"

# Where a promise is written down: a name of the code, or a section of plugins/README.md.
HOOKS = "plugins/README.md: Writing a plugin"
HOOK = "plugins/README.md: `rayfleet_engines() -> Sequence[Engine]`"
READER = "plugins/README.md: `rayfleet_command_readers() -> Sequence[CommandReader]`"
ENGINE = "rayfleet.plugin.contracts.Engine"
COMMAND_READER = "rayfleet.plugin.contracts.CommandReader"
PROBLEM = "rayfleet.model.errors.FieldError"
PLAN = "rayfleet.model.engine.LaunchPlan"
NODE = "rayfleet.model.engine.NodeLaunch"
PROBE = "rayfleet.model.engine.EngineProbe"
TRAFFIC = "rayfleet.model.engine.TrafficMetrics"
FRAME = "rayfleet.plugin.frame.Frame"
ARGUMENTS = "rayfleet.plugin.arguments.flag_problems"
DRAIN = "rayfleet.plugin.arguments.drain_problems"
PLACES = frozenset(
    {
        *(HOOKS, HOOK, READER, ENGINE, COMMAND_READER, PROBLEM, PLAN),
        *(NODE, PROBE, TRAFFIC, FRAME, ARGUMENTS, DRAIN),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """``name`` without ``test_``; ``words`` are the promise, ``place`` is where it stands.

    ``needs`` is the attribute of the suite that switches it on, empty for a check that is always on.
    """

    name: str
    words: str
    place: str
    needs: str = ""
    is_on: bool = True


def promise(place: str, *, needs: str = "") -> Callable[[Method], Method]:
    """Mark a check with where its promise is written down, and with the attribute of the suite that it needs."""

    def marked(method: Method) -> Method:
        vars(method).update(promised_at=place, needs=needs)
        return method

    return marked


def switch(suite: type[Any]) -> None:
    """Leave out the checks that need what ``suite`` does not declare; whoever inherits may declare it again."""
    for name in [name for name in dir(suite) if name.startswith(_PREFIX)]:
        method = _marked(suite, name)
        if method is not None and method.needs:
            setattr(suite, name, method if getattr(suite, method.needs) else None)


def checks_of(suite: type[Any]) -> tuple[Check, ...]:
    """Return every check of a suite, those that are off too, sorted by name."""
    methods = [(name, _marked(suite, name)) for name in sorted(dir(suite)) if name.startswith(_PREFIX)]
    return tuple(
        Check(
            name=name.removeprefix(_PREFIX),
            words=re.sub(r"\s+", " ", inspect.getdoc(method) or ""),
            place=method.promised_at,
            needs=method.needs,
            is_on=getattr(suite, name) is not None,
        )
        for name, method in methods
        if method is not None
    )


def _marked(suite: type[Any], name: str) -> Any:
    """Return the check of that name as it was written, wherever it was switched off since; None: it is the author's."""
    written = (vars(base).get(name) for base in suite.__mro__)
    return next((method for method in written if hasattr(method, "promised_at")), None)
