"""Make one metrics page out of the pages of all servers, under llama.cpp's own names, and of the driver's counts. Pure.

Counters and gauges are summed. Averages are made anew from the sums they come from (over
the whole life; llama.cpp's own start over now and then), a maximum stays one. What a lost server
had counted stays in the sums, so a counter never falls while the driver lives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rayfleet.model.engine import TrafficMetrics
from rayfleet.plugin.metric_page import labels_text, read_metric_page, render_metric

_RUNNING = "rayfleet_llamacpp_requests_in_flight"
_STEPS = "rayfleet_llamacpp_steps_total"
_ANSWERS = "rayfleet_llamacpp_answers_total"
TRAFFIC = TrafficMetrics(
    running=(_RUNNING,),
    steps=(_STEPS,),
    served=(f'{_ANSWERS}{{result="ok"}}',),
    failed=(f'{_ANSWERS}{{result="failed"}}',),
)
# What a server counts while it works: calls of the model, and the tokens of prompts.
_WORK = ("llamacpp:n_decode_total", "llamacpp:prompt_tokens_total")

_PREFIX = "llamacpp:"
# Averages over a server's life: numerator and denominator on the same page.
_RATIOS = {
    "llamacpp:prompt_tokens_seconds": ("llamacpp:prompt_tokens_total", "llamacpp:prompt_seconds_total"),
    "llamacpp:predicted_tokens_seconds": ("llamacpp:tokens_predicted_total", "llamacpp:tokens_predicted_seconds_total"),
}
_MAXIMA = frozenset({"llamacpp:n_tokens_max"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A server's page; ``values`` in the page's order. Series with labels are not llama.cpp's and are left out."""

    values: Mapping[str, float] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    helps: Mapping[str, str] = field(default_factory=dict)


def parse_page(text: str) -> Page:
    """Return the series of a Prometheus text page; lines that are none are passed over."""
    page = read_metric_page(text)
    values = {
        sample.name: sample.value for sample in page.samples if sample.name.startswith(_PREFIX) and not sample.labels
    }
    return Page(values=values, kinds=page.kinds, helps=page.helps)


def counters(page: Page) -> Page:
    """Return only what must outlive its server: the counters."""
    kept = {name: value for name, value in page.values.items() if page.kinds.get(name) == "counter"}
    return Page(values=kept, kinds=page.kinds, helps=page.helps)


def merged(pages: Sequence[Page]) -> Page:
    """Return the page of all: sums, with averages weighted and maxima kept."""
    values: dict[str, float] = {}
    kinds: dict[str, str] = {}
    helps: dict[str, str] = {}
    for page in pages:
        kinds.update(page.kinds)
        helps.update(page.helps)
        for name, value in page.values.items():
            before = values.get(name, 0.0)
            values[name] = max(before, value) if name in _MAXIMA else before + value
    for name, (above, below) in _RATIOS.items():
        if name in values:
            values[name] = values.get(above, 0.0) / values[below] if values.get(below) else 0.0
    return Page(values=values, kinds=kinds, helps=helps)


def steps_taken(page: Page) -> float:
    """Return a number that grows while the server works on any request."""
    return sum(page.values.get(name, 0) for name in _WORK)


def traffic_page(busy: Mapping[int, int], steps: Mapping[int, float], answers: Mapping[str, int]) -> str:
    """Return the driver's own metrics: requests and steps by the server's index, answers by their result."""
    return "".join(
        (
            render_metric(_RUNNING, "gauge", "Requests of a server that are not answered yet.", _by_server(busy)),
            render_metric(_STEPS, "counter", "Grows while a server works.", _by_server(steps)),
            render_metric(
                _ANSWERS,
                "counter",
                "Answers, by result: ok, or failed by a server's fault.",
                [(labels_text(result=result), count) for result, count in sorted(answers.items())],
            ),
        )
    )


def _by_server(values: Mapping[int, float]) -> list[tuple[str, float]]:
    return [(labels_text(server=str(index)), value) for index, value in sorted(values.items())]


def render_page(page: Page) -> str:
    """Return the Prometheus text of a page."""
    return "".join(
        render_metric(name, page.kinds.get(name) or "untyped", page.helps.get(name, ""), [("", value)])
        for name, value in page.values.items()
    )
