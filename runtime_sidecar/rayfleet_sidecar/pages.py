"""Metrics pages: the sidecar's own few lines, and the engine's under their own names. Pure."""

from typing import Protocol

from rayfleet.plugin.metric_page import labels_text, read_metric_page, render_metric
from rayfleet_sidecar.readiness import Judgement, Moment, Reason

_OURS = "rayfleet_sidecar_"
_IN_FLIGHT = "rayfleet_requests_in_flight"


class Judged(Protocol):
    """What a page is made from."""

    judgement: Judgement
    transitions: int
    errors: int
    generations: dict[str, int]


def own_page(judge: Judged, engine: str, now: Moment, *, has_engine_page: bool, in_flight: int | None) -> str:
    """Return the sidecar's metrics, all for ``engine``; ``has_engine_page`` says whether the engine's follow.

    ``in_flight`` None: the engine does not tell, and nor does the page.
    """
    judgement, label = judge.judgement, labels_text(engine=engine)
    reasons = [(labels_text(engine=engine, reason=reason), judgement.reason is reason) for reason in Reason]
    generations = [
        (labels_text(engine=engine, result=name), count) for name, count in sorted(judge.generations.items())
    ]
    seconds = round((now.date - judgement.since).total_seconds(), 3)
    metrics = (
        ("engine_ready", "gauge", "Whether the engine is ready for requests.", [(label, judgement.is_ready)]),
        ("engine_state", "gauge", "The current reason is 1, the others 0.", reasons),
        ("state_seconds", "gauge", "Seconds since the reason last changed.", [(label, seconds)]),
        ("transitions_total", "counter", "Changes of the reason.", [(label, judge.transitions)]),
        (
            "judge_errors_total",
            "counter",
            "Unexpected errors of the judge; each is in the log.",
            [(label, judge.errors)],
        ),
        (
            "engine_page_up",
            "gauge",
            "Whether the engine's own metrics are on this page.",
            [(label, has_engine_page)],
        ),
        ("generations_total", "counter", "One-token generations asked of the engine.", generations),
    )
    own = "".join(render_metric(_OURS + name, kind, meaning, samples) for name, kind, meaning, samples in metrics)
    if in_flight is None:
        return own
    return own + render_metric(_IN_FLIGHT, "gauge", "Requests that the engine works on or holds.", [(label, in_flight)])


def usable_page(text: str) -> str:
    """Return an engine's page as it may follow ours, with a newline at its end.

    Empty when it would spoil the whole page: by a line that is no sample (TensorRT-LLM's ``/metrics`` is JSON, a page
    may be cut short) or by one of our own names.
    """
    page = read_metric_page(text)
    if page.broken_lines or any(name.startswith((_OURS, _IN_FLIGHT)) for name in page.names):
        return ""
    kept = [line for line in text.splitlines() if line and line != "# EOF"]
    return "\n".join(kept) + "\n" if kept else ""
