"""Make one metrics page out of the pages of all servers, under llama.cpp's own names. Pure.

Counters and gauges are summed. Averages are made anew from the sums they come from (over
the whole life; llama.cpp's own start over now and then), a maximum stays one. What a lost server
had counted stays in the sums, so a counter never falls while the driver lives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rayfleet.plugin.metric_page import read_metric_page, render_metric

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


def render_page(page: Page) -> str:
    """Return the Prometheus text of a page."""
    return "".join(
        render_metric(name, page.kinds.get(name) or "untyped", page.helps.get(name, ""), [("", value)])
        for name, value in page.values.items()
    )
