"""What the gateway counts, as plain integers: the data path pays for additions, a scrape for everything else. Pure.

Labels are bounded: a model is one that is routed, or ``unknown``, never what a client wrote; whatever else has labels
holds ``MOST_LABELS`` of them, and then counts under ``other``. A model's series goes with the model (``keep``), but not
before its last request has left.
"""

from collections.abc import Callable, Container, Iterable

from rayfleet_gateway.answer.refusals import CODES
from rayfleet_gateway.model.values import Failure, Outcome, Result
from rayfleet_gateway.telemetry import histogram
from rayfleet_gateway.telemetry.histogram import Histogram

UNKNOWN, OTHER = "unknown", "other"
MOST_LABELS = 64
MOST_MODELS = 10_000
# OpenTelemetry's gen_ai.operation.name, by path below ``/v1/``; what is not here is ``other``.
OPERATIONS = {"chat/completions": "chat", "completions": "text_completion", "embeddings": "embeddings"} | dict.fromkeys(
    ("responses", "messages"), "chat"
)

# What an engine answered whole; ``first_byte_seconds`` is over these, so that the quotient is their mean.
ANSWERED = frozenset({Result.OK, Result.ENGINE_ERROR, Result.ENGINE_4XX, Result.ENGINE_5XX})
_FAILURES = tuple(failure.name.lower() for failure in Failure)


class Labelled:
    """Counts by one label; those that are known beforehand begin at 0."""

    __slots__ = ("counts",)

    def __init__(self, known: Iterable[str] = ()) -> None:
        self.counts = dict.fromkeys(known, 0)

    def add(self, label: str, number: int = 1) -> None:
        """Count under ``label``, or under ``other`` when there are many already."""
        counts = self.counts
        if label not in counts and len(counts) >= MOST_LABELS:
            label = OTHER
        counts[label] = counts.get(label, 0) + number


class Deliveries:
    """What became of things handed on: ``refused`` had no room in the queue, ``lost`` could not be delivered."""

    __slots__ = ("accepted", "lost", "refused")

    def __init__(self) -> None:
        self.accepted = 0
        self.refused = 0
        self.lost = 0


class ModelSeries:
    """What is counted per model. ``first_byte_seconds`` is the sum over ``ANSWERED``."""

    __slots__ = (
        "answers",
        "duration",
        "first_byte",
        "first_byte_seconds",
        "in_flight",
        "input_tokens",
        "inter_token",
        "name",
        "output_tokens",
        "seconds",
    )

    def __init__(self, name: str, whole: "Timings", *, is_detailed: bool) -> None:
        self.name = name
        self.in_flight = 0
        self.answers: dict[tuple[int, Result], int] = {}
        self.input_tokens = 0
        self.output_tokens = 0
        self.seconds = 0.0
        self.first_byte_seconds = 0.0
        # Without details these are everybody's.
        self.inter_token = Histogram(whole.inter_token.bounds, whole.inter_token) if is_detailed else whole.inter_token
        self.duration = Histogram(histogram.DURATION_SECONDS) if is_detailed else None
        self.first_byte = Histogram(histogram.FIRST_BYTE_SECONDS) if is_detailed else None


class Timings:
    """The histograms over all models; ``by_operation`` under OpenTelemetry's names for what was asked."""

    __slots__ = ("by_operation", "inter_token", "queue")

    def __init__(self) -> None:
        self.inter_token = Histogram(histogram.GAP_SECONDS)
        self.queue = Histogram(histogram.QUEUE_SECONDS)
        self.by_operation = {name: OperationTimings() for name in (*dict.fromkeys(OPERATIONS.values()), OTHER)}


class OperationTimings:
    """The histograms of one kind of request."""

    __slots__ = ("duration", "first_byte", "input_tokens", "output_tokens", "per_output_token")

    def __init__(self) -> None:
        self.duration = Histogram(histogram.DURATION_SECONDS)
        self.first_byte = Histogram(histogram.FIRST_BYTE_SECONDS)
        self.per_output_token = Histogram(histogram.TOKEN_SECONDS)
        self.input_tokens = Histogram(histogram.TOKENS)
        self.output_tokens = Histogram(histogram.TOKENS)


class Tallies:
    """What is counted of the process itself; whoever does the thing adds to it.

    ``retries`` and ``ejections`` are by the failure that caused them, ``plugin_failures`` by contribution. ``problems``
    is by reason, set as a whole like the two of compiling. ``table_changed_at`` is on the loop's clock, None before
    the first table. ``loop_lag_seconds`` is the longest wait of the loop since the last scrape.
    """

    __slots__ = (
        "access_log",
        "body_bytes",
        "connections",
        "connections_open",
        "connections_refused",
        "ejections",
        "loop_lag_seconds",
        "plugin_failures",
        "problems",
        "retries",
        "retry_budget_exhausted",
        "spans",
        "table_changed_at",
        "table_compile_seconds",
        "table_compiles",
    )

    def __init__(self) -> None:
        self.access_log = Deliveries()
        self.body_bytes = 0
        self.connections = 0
        self.connections_open = 0
        self.connections_refused = 0
        self.ejections = Labelled(_FAILURES)
        self.loop_lag_seconds = 0.0
        self.plugin_failures = Labelled()
        self.problems: dict[str, int] = {}
        self.retries = Labelled(_FAILURES)
        self.retry_budget_exhausted = 0
        self.spans = Deliveries()
        self.table_changed_at: float | None = None
        self.table_compile_seconds = 0.0
        self.table_compiles = 0


class Telemetry:
    """What one gateway process counts. ``sinks`` get every outcome too: the access log, spans; none may block.

    ``has_model_histograms``: durations by model as well, some 55 more series each.
    """

    __slots__ = ("_has_model_histograms", "_series", "answers", "refusals", "sinks", "tallies", "timings")

    def __init__(self, *, has_model_histograms: bool = False) -> None:
        self.sinks: list[Callable[[Outcome], None]] = []
        self._has_model_histograms = has_model_histograms
        self._series: dict[str, ModelSeries] = {}
        self.answers: dict[tuple[int, Result], int] = {}
        self.refusals = Labelled(CODES)
        self.tallies = Tallies()
        self.timings = Timings()

    @property
    def all_series(self) -> tuple[ModelSeries, ...]:
        """Return every series there is now."""
        return tuple(self._series.values())

    def series(self, label: str) -> ModelSeries:
        """Return the series of a routed model, or of ``unknown``; the same object as long as the model is there."""
        series = self._series.get(label)
        if series is None and len(self._series) >= MOST_MODELS:
            label = OTHER
            series = self._series.get(label)
        if series is None:
            series = self._series[label] = ModelSeries(label, self.timings, is_detailed=self._has_model_histograms)
        return series

    def count(self, outcome: Outcome) -> None:
        """Record the one event of a request; called exactly once for each, also for one that named no model."""
        series = self.series(outcome.model)
        answer = (outcome.status, outcome.result)
        series.answers[answer] = series.answers.get(answer, 0) + 1
        self.answers[answer] = self.answers.get(answer, 0) + 1
        series.seconds += outcome.seconds
        if outcome.code:
            self.refusals.add(outcome.code)
        self._count_timings(series, outcome)
        for sink in self.sinks:
            sink(outcome)

    def keep(self, models: Container[str]) -> None:
        """Forget the series of models that are not among ``models`` and have no request in flight."""
        gone = [
            name
            for name, series in self._series.items()
            if name not in models and name not in {UNKNOWN, OTHER} and not series.in_flight
        ]
        for name in gone:
            del self._series[name]

    def _count_timings(self, series: ModelSeries, outcome: Outcome) -> None:
        operation = self.timings.by_operation[OPERATIONS.get(outcome.path.removeprefix("/v1/"), OTHER)]
        operation.duration.observe(outcome.seconds)
        if series.duration is not None:
            series.duration.observe(outcome.seconds)
        first_byte = outcome.first_byte_seconds
        if first_byte is None:
            return
        self.timings.queue.observe(outcome.queue_seconds)
        operation.first_byte.observe(first_byte)
        if series.first_byte is not None:
            series.first_byte.observe(first_byte)
        if outcome.result in ANSWERED:
            series.first_byte_seconds += first_byte
        if outcome.prompt_tokens is not None:
            series.input_tokens += outcome.prompt_tokens
            operation.input_tokens.observe(outcome.prompt_tokens)
        if (tokens := outcome.completion_tokens) is not None:
            series.output_tokens += tokens
            operation.output_tokens.observe(tokens)
            if outcome.is_stream and tokens > 1 and outcome.result is Result.OK:
                operation.per_output_token.observe((outcome.seconds - first_byte) / (tokens - 1))
