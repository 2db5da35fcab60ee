"""A clock for tests of the sidecar: time passes only when the test says so."""

from datetime import UTC, datetime, timedelta

from rayfleet_sidecar.readiness import Moment

_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class HandClock:
    """Call it for the moment; ``advance`` it for a later one."""

    def __init__(self) -> None:
        self._passed = timedelta()

    def __call__(self) -> Moment:
        """Return the moment that it is now."""
        return Moment(date=_BEGINNING + self._passed, steady=self._passed)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._passed += timedelta(seconds=seconds)
