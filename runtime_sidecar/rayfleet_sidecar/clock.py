"""The only place in the sidecar that reads a clock."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from rayfleet_sidecar.readiness import Moment

Clock = Callable[[], Moment]


def system_clock() -> Moment:
    """Return the moment that it is now, by this machine."""
    return Moment(date=datetime.now(UTC), steady=timedelta(seconds=time.monotonic()))
