"""The gateway's metrics, all declared here.

Labels are bounded: ``model`` is a routed model or ``unknown``, never what a client wrote.
"""

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from rayfleet_gateway.model.values import Outcome

_TTFT_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_DURATION_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


@dataclass(slots=True)
class Telemetry:
    """Counters of one gateway, in a registry of their own."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    requests: Counter = field(init=False)
    duration: Histogram = field(init=False)
    first_byte: Histogram = field(init=False)
    in_flight: Gauge = field(init=False)
    endpoints: Gauge = field(init=False)
    retries: Counter = field(init=False)

    def __post_init__(self) -> None:
        prefix, registry = "rayfleet_gateway", self.registry
        self.requests = Counter(
            f"{prefix}_requests",
            "Requests by model, status and result.",
            ("model", "status", "result"),
            registry=registry,
        )
        self.duration = Histogram(
            f"{prefix}_request_duration_seconds",
            "From the request's head to the end of the answer.",
            ("model",),
            buckets=_DURATION_BUCKETS,
            registry=registry,
        )
        self.first_byte = Histogram(
            f"{prefix}_time_to_first_byte_seconds",
            "From the request's head to the first byte of the answer's body.",
            ("model",),
            buckets=_TTFT_BUCKETS,
            registry=registry,
        )
        self.in_flight = Gauge(f"{prefix}_requests_in_flight", "Requests now upstream.", ("model",), registry=registry)
        self.endpoints = Gauge(f"{prefix}_ready_endpoints", "Ready endpoints.", ("model",), registry=registry)
        self.retries = Counter(
            f"{prefix}_retries",
            "Attempts on another endpoint after a failed connection.",
            ("model",),
            registry=registry,
        )

    def count(self, outcome: Outcome) -> None:
        """Record the one event of a request."""
        self.requests.labels(outcome.model, str(outcome.status), outcome.result).inc()
        self.duration.labels(outcome.model).observe(outcome.seconds)
        if outcome.first_byte_seconds is not None:
            self.first_byte.labels(outcome.model).observe(outcome.first_byte_seconds)

    def page(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self.registry)
