"""When a probe's results change a container's state.

Pure. Source: Kubernetes, "Configure Liveness, Readiness and Startup Probes".
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from rayfleet.model.json import ReadOnlyJson


class ProbeKind(StrEnum):
    """What a probe decides."""

    STARTUP = "startup"
    LIVENESS = "liveness"
    READINESS = "readiness"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSpec:
    """One probe with Kubernetes' defaults filled in; ``action`` is the raw httpGet/tcpSocket/exec/grpc part."""

    kind: ProbeKind
    action: ReadOnlyJson
    initial_delay: timedelta
    period: timedelta
    timeout: timedelta
    success_threshold: int
    failure_threshold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeState:
    """``is_passing`` is what the probe says now; None before the first threshold was reached."""

    is_passing: bool | None = None
    successes: int = 0
    failures: int = 0


def probe_specs(container: ReadOnlyJson) -> dict[ProbeKind, ProbeSpec]:
    """Return the probes that a container declares."""
    return {kind: _spec(kind, raw) for kind in ProbeKind if (raw := container.get(f"{kind.value}Probe")) is not None}


def after_result(state: ProbeState, spec: ProbeSpec, is_success: bool) -> ProbeState:
    """Return the state after one result: it flips when a threshold of equal results in a row is reached."""
    if is_success:
        successes = state.successes + 1
        is_passing = True if successes >= spec.success_threshold else state.is_passing
        return ProbeState(is_passing=is_passing, successes=successes, failures=0)
    failures = state.failures + 1
    is_passing = False if failures >= spec.failure_threshold else state.is_passing
    return replace(state, is_passing=is_passing, successes=0, failures=failures)


def _spec(kind: ProbeKind, raw: ReadOnlyJson) -> ProbeSpec:
    return ProbeSpec(
        kind=kind,
        action={name: raw[name] for name in ("httpGet", "tcpSocket", "exec", "grpc") if name in raw},
        initial_delay=timedelta(seconds=raw.get("initialDelaySeconds") or 0),
        period=timedelta(seconds=raw.get("periodSeconds") or 10),
        timeout=timedelta(seconds=raw.get("timeoutSeconds") or 1),
        success_threshold=raw.get("successThreshold") or 1,
        failure_threshold=raw.get("failureThreshold") or 3,
    )
