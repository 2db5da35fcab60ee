"""The engine asked in a process of its own, and what it did meanwhile. Its text is passed to ``python -c``.

Words: the plugin's module, the engine's name. On stdin: ``[[serving, ...], times]``. Standard output gets one
JSON object, see AskedAnew in tested.py; what the plugin itself prints is kept apart. The standard library alone is
imported before the plugin is, so that what the plugin needs is seen.

Nothing is timed: what an engine does is counted in lines of Python that it runs, and what it asks of the machine is
heard by an audit hook (PEP 578). ``time.sleep`` is noted and does not sleep. An engine that runs too many lines is
stopped there, so that a loop without end has an end.
"""

import gc
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, SupportsIndex

MOST_LINES = 100_000
WARM_UP = 150
ROUNDS = 3
# What a pure function has no use for. ``open`` covers every file, ``socket.`` every connection and look-up of a name.
_EFFECTS = ("open", "os.", "socket.", "subprocess.", "shutil.", "tempfile.", "sqlite3.", "urllib.", "pty.")
_HARMLESS = frozenset({"os.putenv", "os.unsetenv", "os.listdir", "os.scandir"})


class TooManyLines(BaseException):
    """Ends an engine that does not come to an end."""


class Watch:
    """Hears what is asked of the machine while ``on``, and counts lines."""

    def __init__(self) -> None:
        self.effects: list[str] = []
        self.is_on = False
        self.lines = 0
        self.most_lines = 0
        sys.addaudithook(self._heard)
        time.sleep = self._slept

    def counted(self, ask: Callable[[], Any]) -> Any:
        """Return what ``ask`` returns; TooManyLines when it does not come to an end."""
        self.lines = 0
        sys.settrace(self._traced)
        try:
            return ask()
        finally:
            sys.settrace(None)
            self.most_lines = max(self.most_lines, self.lines)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.is_on and event.startswith(_EFFECTS) and event not in _HARMLESS:
            self.is_on = False  # a plugin's own audit hook, or repr(), may cause others
            self.effects.append(f"{event} {arguments[0]!r}" if arguments else event)
            self.is_on = True

    def _slept(self, seconds: float | SupportsIndex, /) -> None:
        self.effects.append(f"time.sleep {seconds!r}")

    def _traced(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            self.lines += 1
            if self.lines > MOST_LINES:
                raise TooManyLines
        return self._traced


def state() -> dict[str, Any]:
    """Return what of this process belongs to nobody's plugin."""
    return {
        "environment variables": dict(os.environ),
        "the working folder": str(Path.cwd()),
        "sys.path": list(sys.path),
        "signal handlers": [repr(signal.getsignal(number)) for number in signal.valid_signals()],
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "open files": [number for number in range(64) if _is_open(number)],
    }


def main(words: list[str]) -> None:
    """Ask, and print what came of it."""
    raw_servings, times = json.load(sys.stdin)
    answer_file, printed = os.dup(1), os.memfd_create("printed")
    os.dup2(printed, 1)
    watch, modules = Watch(), set(sys.modules)
    before = state()
    plugin = import_module(words[0])
    engine = {engine.name: engine for engine in plugin.rayfleet_engines()}[words[1]]
    imported = sorted(set(sys.modules) - modules)
    from rayfleet.manifest.serving import decode_serving

    servings = [decode_serving(raw, default_name="") for raw in raw_servings]
    answers, is_endless = [], False
    try:
        answers = [watch.counted(partial(_ask, engine, serving)) for serving in servings]
        watch.is_on = True
        watch.counted(partial(_ask, engine, servings[-1]))
    except TooManyLines:
        is_endless = True
    watch.is_on = False
    grown = 0 if is_endless or not times else _grown(engine, servings[0], times)
    after = state()
    sys.stdout.flush()
    answer = {
        "imported": imported,
        "answers": answers,
        "effects": watch.effects,
        "lines": watch.most_lines,
        "is_endless": is_endless,
        "grown_blocks": grown,
        "changed": [name for name, value in before.items() if after[name] != value],
        "printed": os.pread(printed, 1000, 0).decode(errors="replace"),
    }
    os.write(answer_file, json.dumps(answer).encode())


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _ask(engine: Any, serving: Any) -> list[str]:
    problems = engine.problems(serving)
    return [repr(problems), "" if problems else repr(engine.launch_plan(serving))]


def _grown(engine: Any, serving: Any, times: int) -> int:
    """Return by how many blocks of memory the process grew while it was asked about so many fleets, all different.

    The least of some rounds: the interpreter's own caches grow now and then, what a plugin keeps grows in each.
    """
    from dataclasses import replace

    rounds, numbers = [], itertools.count()
    for _ in range(ROUNDS):
        blocks = 0
        for number in range(WARM_UP + times):
            if number == WARM_UP:
                gc.collect()
                blocks = sys.getallocatedblocks()
            _ask(engine, replace(serving, served_model_name=f"model-{next(numbers)}"))
        gc.collect()
        rounds.append(sys.getallocatedblocks() - blocks)
    return min(rounds)


if __name__ == "__main__":
    main(sys.argv[1:])
