"""Spans of OpenTelemetry: one per request of a trace, between the client's span and the engine's."""

import threading
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from rayfleet_gateway.model.values import Outcome, Result
from rayfleet_gateway.telemetry.counts import Deliveries, Telemetry
from rayfleet_gateway.telemetry.spans import Spans

TRACE, OURS, CLIENTS = "ab" * 16, "12" * 8, "34" * 8


def outcome(result: Result = Result.OK, flags: str = "01", parent: str = CLIENTS, code: str = "") -> Outcome:
    return Outcome(
        model="m",
        status=200,
        result=result,
        seconds=2.0,
        first_byte_seconds=0.5,
        path="/v1/chat/completions",
        method="POST",
        completion_tokens=7,
        code=code,
        trace_parent=f"00-{TRACE}-{OURS}-{flags}",
        parent_span=parent,
    )


class Stuck(SpanExporter):
    """A collector that does not answer until told."""

    def __init__(self) -> None:
        self.is_asked, self.go_on = threading.Event(), threading.Event()
        self.has_answered = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.is_asked.set()
        self.go_on.wait(60)
        self.has_answered = True
        return SpanExportResult.SUCCESS


def spans_of(*outcomes: Outcome) -> tuple[ReadableSpan, ...]:
    telemetry, exporter = Telemetry(), InMemorySpanExporter()
    spans = Spans(exporter, telemetry.tallies.spans)
    telemetry.sinks.append(spans.put)
    spans.start()
    for each in outcomes:
        telemetry.count(each)
    spans.close()
    return exporter.get_finished_spans()


def test_a_span_stands_between_the_clients_and_the_engines() -> None:
    (span,) = spans_of(outcome())
    assert span.context is not None
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.context.span_id:016x}" == OURS
    assert f"{span.parent.span_id:016x}" == CLIENTS
    assert span.kind is SpanKind.SERVER


def test_a_trace_that_begins_here_has_no_parent() -> None:
    (span,) = spans_of(outcome(parent=""))
    assert span.context is not None
    assert span.parent is None
    assert f"{span.context.span_id:016x}" == OURS


def test_a_span_says_what_was_asked_and_what_it_took() -> None:
    (span,) = spans_of(outcome())
    assert span.name == "chat m"
    assert span.attributes is not None
    assert span.attributes["gen_ai.request.model"] == "m"
    assert span.attributes["gen_ai.usage.output_tokens"] == 7
    assert "gen_ai.usage.input_tokens" not in span.attributes, "the answer did not tell"
    assert span.resource.attributes["service.name"] == "rayfleet-gateway"
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.end_time - span.start_time == 2_000_000_000


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (Result.OK, StatusCode.UNSET),
        (Result.ENGINE_4XX, StatusCode.UNSET),
        (Result.CLIENT_GONE, StatusCode.UNSET),
        (Result.UPSTREAM_ERROR, StatusCode.ERROR),
        (Result.ENGINE_5XX, StatusCode.ERROR),
    ],
)
def test_a_span_is_an_error_where_a_server_is_at_fault(result: Result, status: StatusCode) -> None:
    (span,) = spans_of(outcome(result, code="upstream_error"))
    assert span.status.status_code is status
    assert ("error.type" in (span.attributes or {})) is (status is StatusCode.ERROR)


def test_what_a_client_does_not_sample_is_not_sent() -> None:
    assert spans_of(outcome(flags="00")) == ()


def test_requests_outside_of_traces_have_no_span() -> None:
    assert spans_of(Outcome(model="m", status=200, result=Result.OK, seconds=1.0)) == ()


def test_the_name_of_the_service_is_the_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "edge")
    (span,) = spans_of(outcome())
    assert span.resource.attributes["service.name"] == "edge"


def test_a_collector_that_is_stuck_does_not_hold_the_end() -> None:
    collector = Stuck()
    spans = Spans(collector, Deliveries())
    spans.start()
    spans.put(outcome())
    assert collector.is_asked.wait(60)
    spans.close()
    assert not collector.has_answered
    collector.go_on.set()
