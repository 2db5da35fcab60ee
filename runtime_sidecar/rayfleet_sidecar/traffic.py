"""What an engine's metrics page tells of its requests: how many are in flight, whether they get on, how they end. Pure.

Health checks do not see a hang: vLLM and llama.cpp answer 200 while no request gets on. Their counters do: an engine
that works on a request takes steps. So a *stall* is a part of the engine (the series of one set of labels) that has
requests running and has taken no step for a while. What was seen of a part is kept as long as it is so, and forgotten
with any change, a counter that starts anew included.

A page may learn of a request only when a first step with it has ended. Where the engine's port tells how many it has
taken up (``load``), such requests are known: those that are there beside the sidecar's own question, which waits as
they do, are a part that stands still too. Without that question they prove nothing: a client that does not read its
answer holds a request as well, and so does a port that has lost count.

Failures alone are no verdict, since a client may cause them: they only make the engine *suspect*, and a one-token
generation tells. The failures are those since the last reading that showed a generation which ended well.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from rayfleet.model.engine import TrafficMetrics
from rayfleet.plugin.metric_page import (
    Labels,
    Sample,
    label_pairs,
    lines_about,
    pairs_text,
    read_metric_page,
    series_of,
)
from rayfleet_sidecar.observation import LONG_AGO


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """One reading. ``running`` and ``steps`` by the labels of their series; the rest are sums over the page.

    ``load`` is how many requests the engine's port has taken up, 0 where it does not tell.
    """

    running: Mapping[str, float] = field(default_factory=dict)
    steps: Mapping[str, float] = field(default_factory=dict)
    waiting: float = 0
    served: float = 0
    failed: float = 0
    load: int = 0

    @property
    def work(self) -> tuple[float, float]:
        """Numbers that stand still exactly as long as the engine takes no step and ends nothing."""
        return sum(self.steps.values()), self.served

    @property
    def on_page(self) -> int:
        """Requests that the page knows: running or waiting."""
        return round(sum(self.running.values()) + self.waiting)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standstill:
    """A part of the engine that has requests running: its count of steps, and since when that is so (steady clock)."""

    steps: float
    since: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What the readings so far have shown.

    ``busy`` is what has requests running, by its labels, as of the newest reading (``read_at``, steady clock).
    ``served`` and ``failed`` are the counters as they stood when a generation was last seen to end well; None before
    the first reading. ``work`` is that of the newest reading; ``moved_at`` when a reading last showed that it had
    changed, or requests besides ``own``; ``busy_at`` when the port last told of such, and ``held`` since when they wait
    beside ``own`` without a step, None when they do not. ``zero`` is the least that the port has told since the
    engine's counters began, if below 0: so far it has lost count (vLLM 0.32 takes some requests off twice).
    ``in_flight`` is how many requests the newest reading showed, those that the port alone knows included.
    """

    read_at: timedelta = timedelta()
    moved_at: timedelta = LONG_AGO
    work: tuple[float, float] | None = None
    zero: int = 0
    in_flight: int = 0
    busy_at: timedelta = LONG_AGO
    busy: Mapping[str, Standstill] = field(default_factory=dict)
    held: Standstill | None = None
    served: float | None = None
    failed: float = 0
    failures: int = 0


def read_traffic(page: str, metrics: TrafficMetrics, copies: Sequence[str] = ()) -> Traffic | None:
    """Return what the page says; None when it lacks every gauge of requests that it should have.

    Of samples that differ by the labels in ``copies`` alone the greatest counts (``MetricMap.copies``).
    """
    series = (*metrics.running, *metrics.waiting, *metrics.steps, *metrics.served, *metrics.failed)
    samples = read_metric_page(lines_about(page, {series_of(each).name for each in series})).samples
    running = _by_labels(samples, metrics.running, copies)
    if not running:
        return None
    return Traffic(
        running=running,
        steps=_by_labels(samples, metrics.steps, copies),
        waiting=sum(_by_labels(samples, metrics.waiting, copies).values()),
        served=sum(_by_labels(samples, metrics.served, copies).values()),
        failed=sum(_by_labels(samples, metrics.failed, copies).values()),
    )


def watched(before: Watched, traffic: Traffic, now: timedelta, own: int = 0) -> Watched:
    """Return what is known after a reading at ``now`` (steady clock); ``own`` requests in flight are the sidecar's."""
    busy = {
        labels: _standstill(before.busy.get(labels), steps, now)
        for labels, count in traffic.running.items()
        if count > 0 and (steps := _steps_of(labels, traffic.steps)) is not None
    }
    is_anew = before.served is None or traffic.served != before.served or traffic.failed < before.failed
    has_moved = traffic.on_page > own or (before.work is not None and traffic.work != before.work)
    is_restarted = before.work is not None and sum(traffic.work) < sum(before.work)
    zero = min(0 if is_restarted else before.zero, traffic.load)
    others = traffic.load - zero - own
    return Watched(
        read_at=now,
        moved_at=now if has_moved else before.moved_at,
        work=traffic.work,
        zero=zero,
        busy_at=now if others > 0 else before.busy_at,
        busy=busy,
        in_flight=max(traffic.on_page, others),
        held=_held(before.held, sum(traffic.work), now, starts=own > 0) if others > 0 else None,
        served=traffic.served if is_anew else before.served,
        failed=traffic.failed if is_anew else before.failed,
        failures=0 if is_anew else round(traffic.failed - before.failed),
    )


def stalled_for(seen: Watched) -> timedelta:
    """Return how long the part that stands still longest was seen to do so; zero when none does.

    Time that passes without a reading is no proof: an engine that is busy may be late with its page.
    """
    parts = (*seen.busy.values(), *((seen.held,) if seen.held is not None else ()))
    return max((seen.read_at - part.since for part in parts), default=timedelta())


def _standstill(before: Standstill | None, steps: float, now: timedelta) -> Standstill:
    return before if before is not None and before.steps == steps else Standstill(steps=steps, since=now)


def _held(before: Standstill | None, steps: float, now: timedelta, *, starts: bool) -> Standstill | None:
    """Return since when others wait: from when the sidecar's question waits too, until a step, also between two."""
    after = _standstill(before, steps, now)
    return after if starts or after is before else None


def _steps_of(labels: str, steps: Mapping[str, float]) -> float | None:
    """Return the steps of the part that has these labels, None without any; they may be told in finer parts."""
    if labels in steps:
        return steps[labels]
    part = set(label_pairs(labels))
    finer = [count for text, count in steps.items() if part <= set(label_pairs(text))]
    return sum(finer) if finer else None


def _by_labels(samples: Sequence[Sample], series: Iterable[str], copies: Sequence[str]) -> Mapping[str, float]:
    """Return the sums of the samples of these series, by the labels that tell the engine's parts from one another."""
    patterns = [series_of(each) for each in series]
    sums: dict[str, float] = {}
    for name in dict.fromkeys(pattern.name for pattern in patterns):
        held = [each for each in samples if each.name == name and any(pattern.holds(each) for pattern in patterns)]
        for labels, value in _parts(held, copies).items():
            text = pairs_text(labels)
            sums[text] = sums.get(text, 0.0) + value
    return sums


def _parts(samples: Iterable[Sample], copies: Sequence[str]) -> Mapping[Labels, float]:
    """Return the values of one metric, each request in one of them: of copies the greatest, of a total no parts.

    A total is told beside its parts under an empty label: ``running{priority=""}`` beside ``running{priority="1"}``.
    """
    values: dict[Labels, float] = {}
    totals: set[tuple[str, frozenset[tuple[str, str]]]] = set()
    for sample in samples:
        pairs = [pair for pair in label_pairs(sample.labels) if pair[0] not in copies]
        labels = tuple(pair for pair in pairs if pair[1])
        values[labels] = max(values.get(labels, sample.value), sample.value)
        totals |= {(name, frozenset(labels)) for name, value in pairs if not value}
    return {
        labels: value
        for labels, value in values.items()
        if not any((pair[0], frozenset(labels) - {pair}) in totals for pair in labels)
    }
