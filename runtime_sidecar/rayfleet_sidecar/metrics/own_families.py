"""What the sidecar says itself on its metrics page: of the engine what ``/ready`` says. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from rayfleet.plugin.metric_families import Family, family
from rayfleet.plugin.metric_page import labels_text
from rayfleet_sidecar.duty import Leave
from rayfleet_sidecar.metrics.engine_page import PageState
from rayfleet_sidecar.readiness import STALLED, Moment, Reason, Verdict

_OURS = "rayfleet_sidecar_"
_IN_FLIGHT = "rayfleet_requests_in_flight"
_FOLLOWING = frozenset({PageState.OK, PageState.PARTLY})
REASONS = (*(reason.value for reason in Reason), *(leave.value for leave in Leave), STALLED)
OWN_NAMES = (_OURS, _IN_FLIGHT)
"""How the names of the sidecar's own series begin; an engine may not use them."""


class Judged(Protocol):
    """What the page tells of the judge."""

    transitions: int
    errors: int
    generations: dict[str, int]

    def verdict(self) -> Verdict:
        """Return what may be told of the engine now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PageReport:
    """What became of the engine's page; ``common`` is, of each common metric that it should tell, whether it does."""

    state: PageState
    size_bytes: int = 0
    seconds: float = 0.0
    broken_lines: int = 0
    common: tuple[tuple[str, bool], ...] = ()


def judge_families(judge: Judged, engine: str, now: Moment) -> tuple[Family, ...]:
    """Return what the judge has to tell of ``engine``."""
    verdict, label = judge.verdict(), labels_text(engine=engine)
    generations = [
        (labels_text(engine=engine, result=name), count) for name, count in sorted(judge.generations.items())
    ]
    seconds = round((now.date - verdict.since).total_seconds(), 3)
    return (
        _gauge("engine_ready", "Whether the engine is ready, as /ready says.", [(label, verdict.is_ready)]),
        _states("engine_state", "The current reason is 1, the others 0.", engine, ("reason", REASONS, verdict.reason)),
        _gauge("state_seconds", "Seconds since the reason last changed.", [(label, seconds)]),
        _counter("transitions_total", "Changes of the reason.", [(label, judge.transitions)]),
        _counter("judge_errors_total", "Unexpected errors of the judge; each is in the log.", [(label, judge.errors)]),
        _counter("generations_total", "One-token generations asked of the engine.", generations),
    )


def page_families(report: PageReport, engine: str, in_flight: int | None) -> tuple[Family, ...]:
    """Return what became of the engine's page; ``in_flight`` None: it does not tell its requests, nor does ours."""
    label = labels_text(engine=engine)
    common = [(labels_text(engine=engine, metric=name), is_there) for name, is_there in report.common]
    words = "What became of the engine's page: the current state is 1, the others 0."
    families = [
        _gauge(
            "engine_page_up",
            "Whether the engine's own metrics are on this page.",
            [(label, report.state in _FOLLOWING)],
        ),
        _states("engine_page_state", words, engine, ("state", PageState, report.state)),
        _gauge("engine_page_bytes", "Size of the engine's page.", [(label, report.size_bytes)]),
        _gauge("engine_page_seconds", "Seconds that reading it took.", [(label, round(report.seconds, 4))]),
        _gauge(
            "engine_page_broken_lines",
            "Its lines that are no metrics, and are left out.",
            [(label, report.broken_lines)],
        ),
        _gauge("common_metric_up", "Whether the engine's page tells this common metric, of those it should.", common),
    ]
    if in_flight is not None:
        families.append(
            family(_IN_FLIGHT, "gauge", "Requests that the engine works on or holds.", [(label, in_flight)])
        )
    return tuple(each for each in families if each.samples)


def _states(name: str, words: str, engine: str, states: tuple[str, Iterable[str], str]) -> Family:
    """Return a gauge of states; ``states`` are the label that tells them, all of them, and the current one."""
    label, all_of_them, current = states
    samples = [(labels_text(engine=engine, **{label: each}), each == current) for each in all_of_them]
    return _gauge(name, words, samples)


def _gauge(name: str, words: str, samples: Iterable[tuple[str, float]]) -> Family:
    return family(_OURS + name, "gauge", words, samples)


def _counter(name: str, words: str, samples: Iterable[tuple[str, float]]) -> Family:
    return family(_OURS + name, "counter", words, samples)
