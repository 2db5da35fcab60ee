"""Make one metrics page out of the pages of all servers, under llama.cpp's own names, and of the driver's counts. Pure.

Counters and gauges are summed. Averages are made anew from the sums they come from (over
the whole life; llama.cpp's own start over now and then), a maximum stays one. What a lost server
had counted stays in the sums, so a counter never falls while the driver lives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rayfleet.model.engine import TrafficMetrics
from rayfleet.plugin.metric_families import render_metric
from rayfleet.plugin.metric_page import labels_text, read_metric_page

_RUNNING = "rayfleet_llamacpp_requests_running"
_READ_SLOWLY = "rayfleet_llamacpp_requests_read_slowly"
_STEPS = "rayfleet_llamacpp_steps_total"
_ANSWERS = "rayfleet_llamacpp_answers_total"
TRAFFIC = TrafficMetrics(
    running=(_RUNNING,),
    waiting=(_READ_SLOWLY,),  # in flight, but not the server's to get on with
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTraffic:
    """What the driver knows of one server.

    ``running`` requests wait for its next token, ``read_slowly`` for their client to take what is there; ``steps`` is
    None as long as the server has told nothing.
    """

    index: int
    running: int = 0
    read_slowly: int = 0
    steps: float | None = None


def traffic_page(servers: Sequence[ServerTraffic], answers: Mapping[str, int]) -> str:
    """Return the driver's own metrics: those of the servers, and the answers by their result."""
    running = {server.index: server.running for server in servers}
    read_slowly = {server.index: server.read_slowly for server in servers}
    steps = {server.index: server.steps for server in servers if server.steps is not None}
    return "".join(
        (
            render_metric(_RUNNING, "gauge", "Requests that wait for the server.", _by_server(running)),
            render_metric(_READ_SLOWLY, "gauge", "Requests that wait for their client.", _by_server(read_slowly)),
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
