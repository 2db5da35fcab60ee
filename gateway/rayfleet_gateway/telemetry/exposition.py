"""Families of metrics as Prometheus' classic text (0.0.4) or OpenMetrics 1.0. Pure.

prometheus_client's encoders make four objects a line; for 2,000 models their garbage holds the interpreter, and with it
every stream, for tens of milliseconds. Here a line is one string. A test reads both texts with that library's strict
parsers. Counters and histograms have no times of creation: they would double the page.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

from prometheus_client.utils import floatToGoString

from rayfleet_gateway.telemetry.histogram import Histogram

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"


@dataclass(slots=True, kw_only=True)
class Family:
    """One metric. ``name`` of a counter is without ``_total``. Rows hold the values of ``labels`` in their order."""

    name: str
    kind: str
    meaning: str
    labels: tuple[str, ...] = ()
    rows: list[tuple[tuple[str, ...], float]] = field(default_factory=list)
    histograms: list[tuple[tuple[str, ...], Histogram]] = field(default_factory=list)


def text(families: Iterable[Family], *, is_openmetrics: bool) -> str:
    """Return the page."""
    lines: list[str] = []
    for family in families:
        is_total = family.kind == COUNTER and not is_openmetrics
        shown = f"{family.name}_total" if is_total else family.name
        lines.extend((f"# HELP {shown} {family.meaning}", f"# TYPE {shown} {family.kind}"))
        if family.kind == HISTOGRAM:
            for values, histogram in family.histograms:
                lines.extend(_histogram_lines(family.name, _pairs(family.labels, values), histogram))
        else:
            sample = f"{family.name}_total" if family.kind == COUNTER else family.name
            lines.extend(_line(sample, _pairs(family.labels, values), float(value)) for values, value in family.rows)
    if is_openmetrics:
        lines.append("# EOF")
    return "\n".join(lines) + "\n"


def _line(name: str, pairs: str, value: float) -> str:
    return f"{name}{{{pairs}}} {value!r}" if pairs else f"{name} {value!r}"


def _histogram_lines(name: str, pairs: str, histogram: Histogram) -> Iterator[str]:
    """Yield a histogram's lines; its counts become cumulative, as Prometheus has them."""
    reached, before = 0, pairs + "," if pairs else ""
    for bound, count in zip(_bounds(tuple(histogram.bounds)), histogram.counts, strict=True):
        reached += count
        yield f'{name}_bucket{{{before}le="{bound}"}} {reached}.0'
    yield _line(f"{name}_count", pairs, float(reached))
    yield _line(f"{name}_sum", pairs, histogram.total)


def _pairs(names: Sequence[str], values: Sequence[str]) -> str:
    return ",".join([f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)])


def _escaped(value: str) -> str:
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    return value


@cache
def _bounds(bounds: tuple[float, ...]) -> tuple[str, ...]:
    shown = (floatToGoString(bound) for bound in (*bounds, float("inf")))  # type: ignore[no-untyped-call] # no types
    return tuple(shown)
