"""Optional: a span of OpenTelemetry per request, made from its outcome when it is over.

A thread makes the spans and the SDK's own thread sends them, so that the data path pays for one entry in a queue. The
span's id is the one that went upstream as the parent of the engine's (``Outcome.trace_parent``), and its own parent the
client's, so that the three hang together. Where to send, under which name and how many are the SDK's own variables
(``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_SERVICE_NAME``, ``OTEL_TRACES_SAMPLER``). Names are the semantic conventions
for generative AI (gen-ai-spans, 1.37). Needs the extra ``otel``.
"""

import threading
import time
from collections.abc import Mapping, Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from rayfleet_gateway.model.values import Outcome, Result
from rayfleet_gateway.telemetry.behind import Behind
from rayfleet_gateway.telemetry.counts import OPERATIONS, OTHER, Deliveries

_CLOSE_SECONDS = 3.0
_FAULTS = frozenset({Result.UPSTREAM_ERROR, Result.ENGINE_ERROR, Result.ENGINE_5XX, Result.CUT, Result.FAILED})

_Entry = tuple[int, Outcome]


class Spans:
    """Sends a span per request to ``exporter``. ``put`` is a sink of ``Telemetry``."""

    def __init__(self, exporter: SpanExporter, deliveries: Deliveries) -> None:
        self._names = _GivenIds()
        self._provider = TracerProvider(
            id_generator=self._names,
            resource=Resource.create({SERVICE_NAME: "rayfleet-gateway"}).merge(OTELResourceDetector().detect()),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("rayfleet_gateway")
        self._behind: Behind[_Entry] = Behind("spans", self._take, deliveries)

    def start(self) -> None:
        """Begin."""
        self._behind.start()

    def put(self, outcome: Outcome) -> None:
        """Make the span of a request that is over now, if it is part of a trace."""
        if outcome.trace_parent:
            self._behind.put((time.time_ns(), outcome))

    def close(self) -> None:
        """Make and send what waits, for at most some seconds; then no more. Blocks: not for the loop."""
        self._behind.close(_CLOSE_SECONDS)
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)  # it has no limit of its own
        ending.start()
        ending.join(_CLOSE_SECONDS)

    def _take(self, batch: Sequence[_Entry]) -> None:
        for ended, outcome in batch:
            self._make(outcome, ended)

    def _make(self, outcome: Outcome, ended_ns: int) -> None:
        _, trace_id, span_id, flags = outcome.trace_parent.split("-")[:4]
        self._names.trace_id, self._names.span_id = int(trace_id, 16), int(span_id, 16)
        span = self._tracer.start_span(
            f"{_operation(outcome)} {outcome.model}",
            context=_parent(outcome.parent_span, int(trace_id, 16), int(flags, 16)),
            kind=SpanKind.SERVER,
            attributes=_attributes(outcome),
            start_time=ended_ns - int(outcome.seconds * 1e9),
        )
        if outcome.result in _FAULTS:
            span.set_status(Status(StatusCode.ERROR, outcome.code or outcome.result.value))
        span.end(ended_ns)


class _GivenIds(IdGenerator):
    """Names a span as the gateway already did."""

    trace_id = span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id


def _parent(span_id: str, trace_id: int, flags: int) -> Context:
    """Return the client's span as a context, an empty one when the trace began here."""
    if not span_id:
        return Context()
    remote = SpanContext(trace_id, int(span_id, 16), is_remote=True, trace_flags=TraceFlags(flags))
    return trace.set_span_in_context(NonRecordingSpan(remote), Context())


def _attributes(outcome: Outcome) -> Mapping[str, str | int | float]:
    attributes: dict[str, str | int | float] = {
        "gen_ai.operation.name": _operation(outcome),
        "gen_ai.request.model": outcome.model,
        "http.request.method": outcome.method,
        "url.path": outcome.path,
        "http.response.status_code": outcome.status,
        "client.address": outcome.client,
        "server.address": outcome.endpoint,
        "rayfleet.request_id": outcome.request_id,
        "rayfleet.route": outcome.route,
        "rayfleet.attempts": outcome.attempts,
        "rayfleet.result": outcome.result.value,
    }
    known = {
        "gen_ai.usage.input_tokens": outcome.prompt_tokens,
        "gen_ai.usage.output_tokens": outcome.completion_tokens,
        "rayfleet.first_byte_seconds": outcome.first_byte_seconds,
        "error.type": (outcome.code or outcome.result.value) if outcome.result in _FAULTS else None,
    }
    return attributes | {name: value for name, value in known.items() if value is not None}


def _operation(outcome: Outcome) -> str:
    return OPERATIONS.get(outcome.path.removeprefix("/v1/"), OTHER)
