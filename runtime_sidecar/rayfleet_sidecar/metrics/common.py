"""What every engine tells, by one name and as one series an engine, made from its own series. Pure.

The common names are the fields of ``MetricMap`` after ``rayfleet_engine_``. A series has the one label ``engine``:
parts of an engine are added up and averaged, and told apart under the engine's own names. What the page does not tell
is absent here and not zero: some versions of vLLM lose their gauges with more than one API server.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields

from rayfleet.model.engine import MetricMap
from rayfleet.plugin.metric_families import Family, bound_of, bound_text
from rayfleet.plugin.metric_page import Sample, Series, label_pairs, labels_text, series_of

PREFIX = "rayfleet_engine_"
_RATIOS = frozenset({"kv_cache_usage_ratio"})
_HISTOGRAMS = frozenset({"time_to_first_token_seconds", "inter_token_latency_seconds"})
_HELPS: Mapping[str, str] = {
    "requests_running": "Requests that the engine works on.",
    "requests_waiting": "Requests that wait in the engine.",
    "kv_cache_usage_ratio": "How full the engine's KV cache is, 0 to 1; the mean of its parts.",
    "prefix_cache_queries_total": "Tokens looked up in the prefix cache.",
    "prefix_cache_hits_total": "Tokens found in the prefix cache.",
    "prompt_tokens_total": "Tokens of prompts, found in the prefix cache or not.",
    "generation_tokens_total": "Tokens generated.",
    "preemptions_total": "Requests put off to make room for others.",
    "time_to_first_token_seconds": "From a request to its first token.",
    "inter_token_latency_seconds": "From a token to the next of its request.",
}
_PARTS = ("_bucket", "_count", "_sum")

Part = frozenset[tuple[str, str]]
SamplesByName = Mapping[str, Sequence[Sample]]


def mapped(metrics: MetricMap) -> Mapping[str, tuple[str, ...]]:
    """Return the sources by common name, of those that the engine can tell at all."""
    sources = {each.name: getattr(metrics, each.name) for each in fields(metrics) if each.name in _HELPS}
    return {name: given for name, given in sources.items() if given}


def common_names() -> Mapping[str, str]:
    """Return what each common metric means, by its whole name."""
    return {PREFIX + name: words for name, words in _HELPS.items()}


def common_families(samples: Iterable[Sample], metrics: MetricMap, engine: str) -> tuple[Family, ...]:
    """Return the common metrics that the page tells, in the order of the map's fields."""
    sources = mapped(metrics)
    by_name = _by_name(samples, sources)
    families = (_family(name, given, by_name, metrics.copies, engine) for name, given in sources.items())
    return tuple(each for each in families if each is not None)


def _by_name(samples: Iterable[Sample], sources: Mapping[str, Iterable[str]]) -> SamplesByName:
    names = {series_of(term).name for given in sources.values() for source in given for term in _terms(source)}
    names |= {name + part for name in names for part in _PARTS}
    by_name: dict[str, list[Sample]] = {name: [] for name in names}
    for sample in samples:
        if sample.name in names:
            by_name[sample.name].append(sample)
    return by_name


def _terms(source: str) -> list[str]:
    return source.split(" + ")


def _family(
    name: str, sources: Iterable[str], by_name: SamplesByName, copies: Sequence[str], engine: str
) -> Family | None:
    whole = PREFIX + name
    for source in sources:
        if name in _HISTOGRAMS:
            samples = _histogram(whole, source, by_name, copies, labels_text(engine=engine))
            if samples:
                return Family(name=whole, kind="histogram", help_text=_HELPS[name], samples=samples)
            continue
        value = _number(source, by_name, copies, is_ratio=name in _RATIOS)
        if value is not None:
            kind = "counter" if name.endswith("_total") else "gauge"
            sample = Sample(whole, value, labels_text(engine=engine))
            return Family(name=whole, kind=kind, help_text=_HELPS[name], samples=(sample,))
    return None


def _number(source: str, by_name: SamplesByName, copies: Sequence[str], *, is_ratio: bool) -> float | None:
    """Return the sum of the source's series; None when the page lacks one of them."""
    total = 0.0
    for term in _terms(source):
        values = _by_part(series_of(term), by_name, copies)
        if not values:
            return None
        total += sum(values.values()) / (len(values) if is_ratio else 1)
    return round(min(max(total, 0.0), 1.0), 6) if is_ratio else total


def _by_part(series: Series, by_name: SamplesByName, copies: Sequence[str]) -> Mapping[Part, float]:
    """Return the series' values by the labels that tell the engine's parts from one another."""
    values: dict[Part, float] = {}
    for sample in by_name[series.name]:
        if series.holds(sample) and not math.isnan(sample.value):
            part = _part(sample, copies)
            values[part] = max(values.get(part, -math.inf), sample.value)
    return values


def _part(sample: Sample, copies: Sequence[str]) -> Part:
    return frozenset(pair for pair in label_pairs(sample.labels) if pair[0] not in copies)


def _histogram(
    whole: str, source: str, by_name: SamplesByName, copies: Sequence[str], labels: str
) -> tuple[Sample, ...]:
    """Return the samples of all parts' histograms as one; empty when there is none that is whole.

    A bound that not all parts have is left out: what lies below it is not known of the others.
    """
    series = series_of(source)
    of_buckets, of_sums = (Series(f"{series.name}{part}", series.labels) for part in ("_bucket", "_sum"))
    parts: dict[Part, dict[float, float]] = {}
    for part, count in _by_part(of_buckets, by_name, copies).items():
        limit = bound_of(dict(part).get("le", ""))
        if not math.isnan(limit):
            parts.setdefault(frozenset(pair for pair in part if pair[0] != "le"), {})[limit] = count
    bounds = set.intersection(*(set(buckets) for buckets in parts.values())) if parts else set()
    if math.inf not in bounds:
        return ()
    totals = {each: sum(buckets[each] for buckets in parts.values()) for each in sorted(bounds)}
    return (
        *(Sample(f"{whole}_bucket", count, f'{labels},le="{bound_text(each)}"') for each, count in totals.items()),
        Sample(f"{whole}_count", totals[math.inf], labels),
        Sample(f"{whole}_sum", sum(_by_part(of_sums, by_name, copies).values()), labels),
    )
