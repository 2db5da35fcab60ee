"""An engine, and a reader of command lines, whose faults are words to a person, and cost nobody else anything.

Controllers ask engines in the loop that all fleets share. Whatever a plugin's engine does there (it raises, does not
end, returns something else than its contract) becomes a problem of the fleet that names it, at ``spec.serving.engine``,
as any other problem of that fleet. One that did not end is not asked again for a while, so that its part of the loop
stays small. A reader that fails has read nothing: what it would have been asked for is an advantage, no need.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from rayfleet.model.engine import EngineCommand, LaunchPlan
from rayfleet.model.errors import FieldError, Overdue, PluginError
from rayfleet.model.serving import Serving
from rayfleet.plugin.contracts import CommandReader, Engine, ModelFormat
from rayfleet.plugin.shapes import type_problems
from rayfleet.plugin.watch import Watch

LIMIT_SECONDS = 1.0
OFF_SECONDS = 60.0
_PATH = "spec.serving.engine"
log = logging.getLogger(__name__)


class BoundedEngine:
    """Answers as the engine does, or with a problem of its plugin. ``clock`` gives seconds and never goes back."""

    def __init__(self, engine: Engine, watch: Watch, clock: Callable[[], float] = time.monotonic) -> None:
        self.name: str = engine.name
        self.model_format: ModelFormat | None = engine.model_format
        self._engine = engine
        self._watch = watch
        self._clock = clock
        self._off_until = 0.0
        self._fault = ""
        self._planned: tuple[Serving, LaunchPlan] | None = None

    def __getattr__(self, name: str) -> Any:
        """Return what the engine has besides; asked only for what is not here."""
        return getattr(self._engine, name)

    def problems(self, serving: Serving) -> tuple[FieldError, ...]:
        """Return the engine's problems, or the one that its plugin is; without any there is a plan too."""
        problems = self._asked("problems", self._engine.problems, serving, tuple[FieldError, ...])
        if problems is None:
            return (self._problem(),)
        if problems:
            return tuple(problems)
        plan = self._asked("launch_plan", self._engine.launch_plan, serving, LaunchPlan)
        if plan is None:
            return (self._problem(),)
        self._planned = (serving, plan)
        return ()

    def launch_plan(self, serving: Serving) -> LaunchPlan:
        """Return the engine's plan. Raises PluginError when it has none."""
        planned = self._planned
        if planned is not None and planned[0] is serving:
            return planned[1]
        plan: LaunchPlan | None = self._asked("launch_plan", self._engine.launch_plan, serving, LaunchPlan)
        if plan is None:
            raise PluginError(f"engine {self.name!r}: {self._fault}", way_out="Repair or uninstall its plugin.")
        return plan

    def _problem(self) -> FieldError:
        way_out = f"`rayfleet plugins check {self.name}` says more"
        return FieldError(path=_PATH, message=f"the plugin of {self.name!r} is broken: {self._fault}; {way_out}")

    def _asked(self, method: str, function: Callable[[Serving], Any], serving: Serving, hint: Any) -> Any:
        """Return what a method returns; None after a fault, which is noted."""
        if self._clock() < self._off_until:
            return None
        try:
            result = self._watch.call(lambda: function(serving), LIMIT_SECONDS)
        except Overdue:
            self._fault = f"{method}() did not end within {LIMIT_SECONDS:g} s"
            self._off_until = self._clock() + OFF_SECONDS
            return None
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's fault, whatever it is; it is told
            self._fault = f"{method}() raised {type(error).__name__}: {error}".partition("\n")[0]
            return None
        wrong = next(type_problems(result, hint, f"what {method}() returned"), "")
        if wrong:
            self._fault = wrong.partition("\n")[0]
            return None
        return result


class BoundedReader:
    """Reads as the reader does, or nothing; each fault is told in the log."""

    def __init__(self, reader: CommandReader, watch: Watch, clock: Callable[[], float] = time.monotonic) -> None:
        self.name: str = reader.name
        self._reader = reader
        self._watch = watch
        self._clock = clock
        self._off_until = 0.0

    def read(self, words: Sequence[str]) -> EngineCommand | None:
        """Return what the reader reads; None after a fault too."""
        if self._clock() < self._off_until:
            return None
        try:
            command = self._watch.call(lambda: self._reader.read(words), LIMIT_SECONDS)
        except Overdue:
            self._off_until = self._clock() + OFF_SECONDS
            self._tell(f"did not end within {LIMIT_SECONDS:g} s")
            return None
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's fault, whatever it is; it is told
            self._tell(f"raised {type(error).__name__}: {error}")
            return None
        wrong = next(type_problems(command, EngineCommand, "what it returned"), "") if command is not None else ""
        if wrong:
            self._tell(wrong)
            return None
        return command

    def image_lack(self, image: str) -> str:
        """Return what the reader says of an image; nobody asks it in a loop."""
        return self._reader.image_lack(image)

    def image_risks(self, image: str) -> Sequence[str]:
        """Return what the reader says of an image; nobody asks it in a loop."""
        return self._reader.image_risks(image)

    def _tell(self, fault: str) -> None:
        log.error("a plugin's reader failed", extra={"engine": self.name, "reason": fault.partition("\n")[0]})
