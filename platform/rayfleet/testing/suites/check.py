"""Runs the kit on one engine and prints a line of JSON for each check: what ``rayfleet plugins check`` shows.

Words: a folder or a file with a suite (a subclass of EngineSuite), or the name of an engine of an installed plugin,
for which a suite is derived; then the names of checks, if not all of them are wanted. A check that raises anything, or
does not end, is broken, and the next one is run; an engine that does not come to an end at all is told by one line. The
last line is ``{"end": true}``: without it the run was cut short, by the plugin or by somebody.
"""

import importlib
import inspect
import json
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from rayfleet.manifest.checking import did_you_mean
from rayfleet.plugin.contracts import ENTRY_POINT_GROUP
from rayfleet.testing.suites.derived import RefusesThePlainest, derived_suite
from rayfleet.testing.suites.engine import EngineSuite
from rayfleet.testing.suites.engine.promises import Check, checks_of

CHECK_SECONDS = 240  # twice what a process that asks may take: such a check tells more of what hangs
_FIRST = "it_answers_at_once"  # in a process of its own: an engine that hangs is known before anything else is asked


class TooLong(Exception):
    """A check did not end."""


class NothingToCheck(LookupError):
    """What was named is no suite, engine or check."""


def main(words: list[str]) -> int:
    """Run the kit; 0: every check was held, 1: some were not, 2: there is nothing to check."""
    target, *names = words
    try:
        checks_named(names)
        with _limit(CHECK_SECONDS):
            suites = suites_at(target)
    except (NothingToCheck, RefusesThePlainest) as error:
        _print(error=str(error))
        return 2
    except Exception as error:  # noqa: BLE001 - a plugin's import may raise anything; it is told
        _print(error=f"{type(error).__name__}: {error}")
        return 2
    broken = 0
    for suite in suites:
        _print(suite=suite.__name__, engine=suite.name)
        broken += _run(suite, frozenset(names))
    _print(end=True)
    return 1 if broken else 0


def suites_at(target: str) -> list[type[EngineSuite]]:
    """Return the suites in a folder or a file, or one for an installed engine. Raises NothingToCheck: there is none."""
    path = Path(target)
    if path.exists():
        suites = [suite for file in _files(path) for suite in _suites_of(_imported(file))]
        if not suites:
            raise NothingToCheck(f"no subclass of EngineSuite in {target}; `rayfleet plugins new` shows one")
        return suites
    return [_derived(target)]


def checks_named(names: Sequence[str]) -> None:
    """Raise NothingToCheck for a name that no check has."""
    known = [check.name for check in checks_of(EngineSuite)]
    for name in names:
        if name not in known:
            raise NothingToCheck(f"no check is called {name!r}{did_you_mean(name, known)}; --all shows their names")


def _run(suite: type[EngineSuite], names: frozenset[str]) -> int:
    checks = [check for check in checks_of(suite) if not names or check.name in names]
    broken = 0
    for check in sorted(checks, key=lambda check: (check.name != _FIRST, check.name)):
        message = _broken(suite, check) if check.is_on else ""
        result = "off" if not check.is_on else "broken" if message else "held"
        reason = f"{check.needs} is not declared" if not check.is_on else message
        _print(check=check.name, result=result, message=reason, words=check.words, place=check.place)
        broken += bool(message)
        if check.name == _FIRST and message:
            break
    return broken


def _broken(suite: type[EngineSuite], check: Check) -> str:
    """Return what is wrong, empty when the promise is held."""
    method = getattr(suite(), f"test_{check.name}")
    try:
        with tempfile.TemporaryDirectory() as folder, _limit(CHECK_SECONDS):
            method(Path(folder)) if "tmp_path" in inspect.signature(method).parameters else method()
    except AssertionError as error:
        return str(error).partition("\nassert ")[0] or _line_of(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin raises is its fault
        return f"{type(error).__name__}: {error} ({_line_of(error)})"
    return ""


def _line_of(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}: {last.line}"


@contextmanager
def _limit(seconds: int) -> Iterator[None]:
    def rung(_number: int, _frame: FrameType | None) -> None:
        raise TooLong(f"it did not end within {seconds} s")

    before = signal.signal(signal.SIGALRM, rung)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("test_*.py") if not any(part[0] == "." for part in file.parts[1:]))


def _imported(file: Path) -> ModuleType:
    """Return a test file as a module; the nearest folder above it with a ``pyproject.toml`` is on the path."""
    root = next((each for each in file.resolve().parents if (each / "pyproject.toml").exists()), file.resolve().parent)
    sys.path[:0] = [str(root)]
    spec = spec_from_file_location(f"checked_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _suites_of(module: ModuleType) -> list[type[EngineSuite]]:
    members = [each for each in vars(module).values() if isinstance(each, type)]
    return [each for each in members if issubclass(each, EngineSuite) and each.__module__ == module.__name__]


def _derived(name: str) -> type[EngineSuite]:
    points = list(entry_points(group=ENTRY_POINT_GROUP))
    own = [point for point in points if name in {point.name, point.value}]
    for module in map(_module, own) if own else filter(None, map(_module_or_none, points)):
        engines = list(dict.fromkeys(each.name for each in getattr(module, "rayfleet_engines", list)()))
        if name in engines or (own and len(engines) == 1):
            return derived_suite(module, name if name in engines else engines[0])
        if own:
            raise NothingToCheck(
                f"plugin {name!r} contributes {f'engines {engines}: name one' if engines else 'no engine'}"
            )
    raise NothingToCheck(
        f"{name!r} is neither a file nor an engine of an installed plugin; see `rayfleet plugins list`"
    )


def _module(point: EntryPoint) -> ModuleType:
    return importlib.import_module(point.value)


def _module_or_none(point: EntryPoint) -> ModuleType | None:
    """Return the module of a plugin that nobody asked about; None for one that cannot be imported."""
    try:
        return _module(point)
    except (Exception, SystemExit):  # noqa: BLE001 - whatever a plugin raises is its fault
        return None


def _print(**facts: Any) -> None:
    sys.stdout.write(f"{json.dumps(facts)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
