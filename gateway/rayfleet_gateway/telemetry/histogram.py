"""A histogram that costs one bisection and two additions. Pure.

Bounds are inclusive upper ones, as Prometheus has them (`le`); counts here are per bucket, and become cumulative when
the page is made. Those of the ``gen_ai`` metrics are the ones that OpenTelemetry's semantic conventions for generative
AI (gen-ai-metrics, 1.37) ask for; ours go on where requests wait for an engine to start.
"""

from bisect import bisect_left
from collections.abc import Sequence

DURATION_SECONDS = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
    *(163.84, 327.68, 655.36),
)
FIRST_BYTE_SECONDS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    *(30.0, 60.0, 120.0),
)
TOKEN_SECONDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
GAP_SECONDS = (0.001, 0.0025, *TOKEN_SECONDS, 10.0, 60.0)
QUEUE_SECONDS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0)
TOKENS = tuple(4.0**power for power in range(14))  # 1 to 67,108,864


class Histogram:
    """How many values fell into each bucket, the last one without a bound, and their sum.

    With a ``whole``, each value counts there too.
    """

    __slots__ = ("_whole", "bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float], whole: "Histogram | None" = None) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self._whole = whole

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value
        if self._whole is not None:
            self._whole.observe(value)

    def copied(self) -> "Histogram":
        """Return one with the counts as they are now, that nothing changes."""
        copy = Histogram(self.bounds)
        copy.counts = list(self.counts)
        copy.total = self.total
        return copy
