"""The kit as a pytest plugin, by the entry point ``pytest11``.

It adds nothing to a run that has no suite of rayfleet's. Where one fails, the report says which promise was broken and
where it is written down, and the assertions of the kit show their values. ``--rayfleet-engine NAME`` collects a suite
for an installed engine that nobody wrote a test for.
"""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("rayfleet.testing.suites")
_OPTION = "--rayfleet-engine"
_CHECK_SECONDS = 240
_WATCH = pytest.StashKey[Any]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the one option."""
    group = parser.getgroup("rayfleet", "conformance of rayfleet's plugins")
    group.addoption(
        _OPTION,
        action="append",
        default=[],
        metavar="NAME",
        help="Hold an installed engine plugin to its contract too (rayfleet plugins list shows their names).",
    )


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, Any, Any]:
    """Collect a suite for each engine that is asked for, after everything else."""
    result = yield
    for name in session.config.getoption(_OPTION):
        collector = _Engine.from_parent(session, name=name, nodeid=f"rayfleet::{name}")
        session.items.extend(session.genitems(collector))
        session.testscollected = len(session.items)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Give a check no more than its time: an engine that hangs fails it, and the next one is run."""
    if not hasattr(pyfuncitem.function, "promised_at"):
        return (yield)
    from rayfleet.model.errors import Overdue
    from rayfleet.plugin.watch import Watch

    watch = pyfuncitem.config.stash.setdefault(_WATCH, Watch())
    try:
        with watch.within(_CHECK_SECONDS):
            return (yield)
    except Overdue:
        raise AssertionError(f"the engine hangs: the check did not end within {_CHECK_SECONDS} s") from None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say of a broken promise what it is and where it stands."""
    report = yield
    function = getattr(item, "function", None)
    place = getattr(function, "promised_at", "")
    if place and report.when == "call" and report.failed:
        report.sections.append(("the promise", f"{function.__doc__}\n\nIt stands in {place}."))
    return report


class _Engine(pytest.Module):
    """The suite of an installed engine, as a module whose tests are the checks."""

    @classmethod
    def from_parent(cls, parent: Any, **names: Any) -> "_Engine":
        """Return the collector; its path is this file, for want of another."""
        engine: _Engine = super().from_parent(parent, path=Path(__file__), **names)
        return engine

    def _getobj(self) -> Any:
        from types import ModuleType

        from rayfleet.testing.suites.check import suites_at

        module = ModuleType(f"rayfleet_engine_{self.name}")
        (suite,) = suites_at(self.name)
        vars(module)["TestEngine"] = suite
        suite.__module__ = module.__name__
        return module
