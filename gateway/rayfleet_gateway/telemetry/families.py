"""The gateway's metrics, all declared here: what was counted, as families. Pure.

A model has at most 15 series, so its latencies are sums that divide by its counts; histograms are over all models
(``--model-histograms`` adds those of each). The ``gen_ai`` families are OpenTelemetry's semantic conventions for
generative AI (gen-ai-metrics, 1.37) in Prometheus' spelling, beside ours.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from rayfleet_gateway.model.values import Result
from rayfleet_gateway.telemetry.counts import OTHER, ModelSeries, OperationTimings, Tallies, Timings
from rayfleet_gateway.telemetry.exposition import COUNTER, GAUGE, HISTOGRAM, Family
from rayfleet_gateway.telemetry.histogram import Histogram

_STATUSES = frozenset(HTTPStatus)
_OPERATION = "gen_ai_operation_name"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSample:
    """One model's series at one moment. Histograms are None unless each model has its own."""

    name: str
    in_flight: int
    results: Mapping[Result, int]
    input_tokens: int
    output_tokens: int
    seconds: float
    first_byte_seconds: float
    duration: Histogram | None = None
    first_byte: Histogram | None = None
    inter_token: Histogram | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything a page shows. ``ready_endpoints`` has every routed model, ``models`` those that were asked for.

    ``table_age_seconds`` None: there is no table yet.
    """

    models: Sequence[ModelSample] = ()
    ready_endpoints: Sequence[tuple[str, int]] = ()
    answers: Mapping[tuple[int, Result], int] = field(default_factory=dict)
    refusals: Mapping[str, int] = field(default_factory=dict)
    timings: Timings = field(default_factory=Timings)
    tallies: Tallies = field(default_factory=Tallies)
    table_age_seconds: float | None = None


def sampled(series: ModelSeries) -> ModelSample:
    """Return a model's series as it is now."""
    results: Counter[Result] = Counter()
    for (_, result), number in series.answers.items():
        results[result] += number
    is_detailed = series.duration is not None and series.first_byte is not None
    return ModelSample(
        name=series.name,
        in_flight=series.in_flight,
        results=results,
        input_tokens=series.input_tokens,
        output_tokens=series.output_tokens,
        seconds=series.seconds,
        first_byte_seconds=series.first_byte_seconds,
        duration=series.duration.copied() if series.duration is not None else None,
        first_byte=series.first_byte.copied() if series.first_byte is not None else None,
        inter_token=series.inter_token.copied() if is_detailed else None,
    )


def families(snapshot: Snapshot) -> Iterator[Family]:
    """Yield every family, also those without a sample."""
    yield from _of_models(snapshot.models)
    yield from _of_details(snapshot.models)
    yield from _of_all(snapshot)
    yield from _of_gen_ai(snapshot.timings.by_operation)
    yield from _of_attempts(snapshot.tallies)
    yield from _of_connections(snapshot.tallies)
    yield from _of_table(snapshot)
    yield from _of_itself(snapshot.tallies)


def _of_models(models: Sequence[ModelSample]) -> Iterator[Family]:
    """Yield at most 14 series a model: 9 results, 2 sums of seconds, 2 of tokens, 1 gauge; ready endpoints make 15."""
    requests = _counter(
        "requests", "One per request; results are described in the gateway's README.", "model", "result"
    )
    seconds = _counter("request_seconds", "Sum of the seconds from a request's head to the end of its answer.", "model")
    first = _counter(
        "first_byte_seconds",
        "Sum of the seconds to the first byte, over requests with result ok, engine_error, 4xx or 5xx.",
        "model",
    )
    tokens = _counter("tokens", "Tokens that engines said they used; type is input or output.", "model", "type")
    in_flight = _gauge("requests_in_flight", "Requests now upstream.", "model")
    for model in models:
        name = model.name
        for result, number in model.results.items():
            requests.rows.append(((name, result), number))
        seconds.rows.append(((name,), model.seconds))
        first.rows.append(((name,), model.first_byte_seconds))
        tokens.rows.append(((name, "input"), model.input_tokens))
        tokens.rows.append(((name, "output"), model.output_tokens))
        in_flight.rows.append(((name,), model.in_flight))
    yield from (requests, seconds, first, tokens, in_flight)


def _of_details(models: Iterable[ModelSample]) -> Iterator[Family]:
    about = {"duration": "request_duration", "first_byte": "time_to_first_byte", "inter_token": "inter_token"}
    for attribute, name in about.items():
        family = _histogram(f"rayfleet_gateway_model_{name}_seconds", f"As {name}_seconds, by model.", "model")
        for model in models:
            if (values := getattr(model, attribute)) is not None:
                family.histograms.append(((model.name,), values))
        yield family


def _of_all(snapshot: Snapshot) -> Iterator[Family]:
    answers = _counter("answers", "Requests by the status that the client got.", "status", "result")
    by_status: Counter[tuple[str, Result]] = Counter()
    for (status, result), number in snapshot.answers.items():
        by_status[_status(status), result] += number
    for labels, number in by_status.items():
        answers.rows.append((labels, number))
    yield answers
    yield _by_label("refusals", "Answers of the gateway's own, by their code.", "code", snapshot.refusals)
    timings = snapshot.timings
    operations = tuple(timings.by_operation.values())
    for name, meaning, parts in (
        ("request_duration", "head of a request to the end of its answer", [each.duration for each in operations]),
        (
            "time_to_first_byte",
            "head of a request to its answer's first byte",
            [each.first_byte for each in operations],
        ),
        ("inter_token", "one event of a stream to the next", [timings.inter_token]),
        ("queue", "head of a request to its first try at an endpoint", [timings.queue]),
    ):
        family = _histogram(f"rayfleet_gateway_{name}_seconds", f"From the {meaning}.")
        family.histograms.append(((), _sum(parts)))
        yield family


def _of_gen_ai(timings: Mapping[str, OperationTimings]) -> Iterator[Family]:
    duration = _histogram("gen_ai_server_request_duration_seconds", "Request duration.", _OPERATION)
    first = _histogram("gen_ai_server_time_to_first_token_seconds", "Time to the first token.", _OPERATION)
    per_token = _histogram(
        "gen_ai_server_time_per_output_token_seconds", "Time per output token after the first, of streams.", _OPERATION
    )
    tokens = _histogram("gen_ai_client_token_usage", "Tokens used.", _OPERATION, "gen_ai_token_type")
    for operation, each in timings.items():
        duration.histograms.append(((operation,), each.duration))
        first.histograms.append(((operation,), each.first_byte))
        per_token.histograms.append(((operation,), each.per_output_token))
        tokens.histograms.append(((operation, "input"), each.input_tokens))
        tokens.histograms.append(((operation, "output"), each.output_tokens))
    yield from (duration, first, per_token, tokens)


def _of_attempts(tallies: Tallies) -> Iterator[Family]:
    yield _by_label(
        "retries", "Attempts on another endpoint, by the failure of the one before.", "failure", tallies.retries.counts
    )
    yield _by_label("ejections", "Endpoints taken out, by the last failure.", "failure", tallies.ejections.counts)
    yield _by_label(
        "plugin_failures", "Contributions that raised or were too slow.", "plugin", tallies.plugin_failures.counts
    )
    yield _number(
        _counter("retry_budget_exhausted", "Attempts that were not made because too many were."),
        tallies.retry_budget_exhausted,
    )


def _of_connections(tallies: Tallies) -> Iterator[Family]:
    yield _number(_gauge("connections_open", "Clients' connections now open."), tallies.connections_open)
    yield _number(_counter("connections", "Clients' connections accepted."), tallies.connections)
    yield _number(
        _counter("connections_refused", "Clients' connections closed at once: there were too many."),
        tallies.connections_refused,
    )
    yield _number(_gauge("body_bytes", "Bytes of requests' bodies now held."), tallies.body_bytes)


def _of_table(snapshot: Snapshot) -> Iterator[Family]:
    ready = _gauge("ready_endpoints", "Ready endpoints.", "model")
    for name, number in snapshot.ready_endpoints:
        ready.rows.append(((name,), number))
    yield ready
    age = _gauge("table_age_seconds", "Since the route table last changed.")
    if snapshot.table_age_seconds is not None:
        _number(age, snapshot.table_age_seconds)
    yield age
    tallies = snapshot.tallies
    yield _number(_counter("table_compiles", "Steps of compiling the route table."), tallies.table_compiles)
    yield _number(_counter("table_compile_seconds", "Seconds that they took."), tallies.table_compile_seconds)
    problems = _gauge("problems", "What is wrong with routes and their objects now, by reason.", "reason")
    for reason, number in tallies.problems.items():
        problems.rows.append(((reason,), number))
    yield problems


def _of_itself(tallies: Tallies) -> Iterator[Family]:
    yield _number(
        _gauge("loop_lag_seconds", "The longest time the event loop was late since the last scrape."),
        tallies.loop_lag_seconds,
    )
    for name, what, deliveries in (
        ("access_log", "Lines of the access log", tallies.access_log),
        ("spans", "Spans", tallies.spans),
    ):
        lost = deliveries.refused + deliveries.lost
        yield _number(_counter(name, f"{what} handed on."), deliveries.accepted)
        yield _number(_counter(f"{name}_dropped", f"{what} lost: what takes them failed or was too slow."), lost)


def _counter(name: str, meaning: str, *labels: str) -> Family:
    return Family(name=f"rayfleet_gateway_{name}", kind=COUNTER, meaning=meaning, labels=labels)


def _gauge(name: str, meaning: str, *labels: str) -> Family:
    return Family(name=f"rayfleet_gateway_{name}", kind=GAUGE, meaning=meaning, labels=labels)


def _histogram(name: str, meaning: str, *labels: str) -> Family:
    return Family(name=name, kind=HISTOGRAM, meaning=meaning, labels=labels)


def _number(family: Family, value: float) -> Family:
    family.rows.append(((), value))
    return family


def _by_label(name: str, meaning: str, label: str, counts: Mapping[str, int]) -> Family:
    family = _counter(name, meaning, label)
    family.rows.extend(((value,), number) for value, number in counts.items())
    return family


def _sum(parts: Sequence[Histogram]) -> Histogram:
    whole = Histogram(parts[0].bounds)
    whole.counts = [sum(counts) for counts in zip(*(part.counts for part in parts), strict=True)]
    whole.total = sum(part.total for part in parts)
    return whole


def _status(status: int) -> str:
    """Return a label: engines may answer with any number."""
    if status == 0:
        return "none"
    return str(status) if status in _STATUSES else OTHER
