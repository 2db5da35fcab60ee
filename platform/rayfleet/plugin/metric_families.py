"""Metrics as families, written in Prometheus' text format and in OpenMetrics. Pure.

A *family* is a metric with all its samples; each has one comment of its kind, and each series stands once: a second
comment or a second value of a series makes a scraper refuse the whole page. What an engine calls a histogram, a summary
or a counter and is none (no ``+Inf``, falling buckets, a negative count) is written as what it is, numbers of no kind.

Sources: Prometheus, "Exposition formats" 0.0.4; OpenMetrics 1.0.0, whose families own names beyond their own: counters
end in ``_total``, and what classic pages call a gauge ``x_created`` is part of the counter or histogram ``x``.
"""

import math
import re
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from rayfleet.plugin.metric_page import MetricPage, Sample, label_pairs, pairs_text

_STEP_SAMPLES = 300  # about 2 ms of one core
_UNTYPED = "untyped"
_PARTS: Mapping[str, tuple[str, ...]] = {
    "histogram": ("_bucket", "_count", "_sum"),
    "summary": ("_count", "_sum"),
}
_KINDS = frozenset({"counter", "gauge", "histogram", "summary", _UNTYPED})
# What else OpenMetrics lets no other family be called.
_RESERVED: Mapping[str, tuple[str, ...]] = {
    "counter": ("", "_total", "_created"),
    "histogram": ("", "_bucket", "_count", "_sum", "_created"),
    "summary": ("", "_count", "_sum", "_created"),
}
_OWN_LABEL = {"histogram": "le", "summary": "quantile"}
_QUOTE = re.compile(r'\\.|"')  # one that is not escaped; and what is, to pass over it
_CREATED = "_created"
_TOTAL = "_total"


class PageForm(Enum):
    """A way to write a page; the value is its content type."""

    CLASSIC = "text/plain; version=0.0.4; charset=utf-8"
    OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """``name`` is what the comments say; samples carry their whole names (``x_bucket``). ``help_text`` as escaped."""

    name: str
    kind: str = _UNTYPED
    help_text: str = ""
    samples: tuple[Sample, ...] = ()


def family(name: str, kind: str, help_text: str, samples: Iterable[tuple[str, float]]) -> Family:
    """Return a metric of ours; a sample is its labels (see ``labels_text``) and its value."""
    return Family(
        name=name,
        kind=kind,
        help_text=help_text,
        samples=tuple(Sample(name, value, labels) for labels, value in samples),
    )


def render_metric(name: str, kind: str, help_text: str, samples: Iterable[tuple[str, float]]) -> str:
    """Return the lines of one metric in the classic format, its comments first."""
    return "".join(_classic_lines(family(name, kind, help_text, samples)))


def grouping(page: MetricPage, *, foreign: tuple[str, ...] = ()) -> Generator[None, None, tuple[Family, ...]]:
    """Sort a page's samples into families, in steps of some milliseconds.

    Of a series that stands twice the first counts; a sample with one label twice is left out, and so is whatever begins
    with one of ``foreign``, names that are not the page's to use.
    """
    groups: dict[str, list[Sample]] = {}
    homes: dict[str, str] = {}
    seen: set[int] = set()  # hashes: the labels themselves would cost megabytes on a large page
    for number, sample in enumerate(page.samples, start=1):
        if number % _STEP_SAMPLES == 0:
            yield
        pairs = label_pairs(sample.labels)
        series = hash((sample.name, frozenset(pairs)))
        if series in seen or len(dict(pairs)) != len(pairs) or sample.name.startswith(foreign):
            continue
        seen.add(series)
        if sample.name not in homes:
            homes[sample.name] = _home(sample.name, page.kinds)
        groups.setdefault(homes[sample.name], []).append(sample)
    families: list[Family] = []
    for name, samples in groups.items():
        kind, help_text = _comments(name, page)
        families += _truthful(Family(name=name, kind=kind, help_text=help_text, samples=tuple(samples)))
        yield
    return tuple(families)


def rendering(families: Sequence[Family], form: PageForm) -> Generator[None, None, str]:
    """Write a page, in steps of some milliseconds."""
    is_open = form is PageForm.OPEN_METRICS
    lines: list[str] = []
    for each in _open_families(families) if is_open else families:
        for number, line in enumerate(_open_lines(each) if is_open else _classic_lines(each), start=1):
            lines.append(line)
            if number % _STEP_SAMPLES == 0:
                yield
        yield
    if is_open:
        lines.append("# EOF\n")
    return "".join(lines)


def accepted_form(accept: str) -> PageForm:
    """Return the form that an ``Accept`` header asks for: OpenMetrics where it is not worse liked than plain text."""
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for choice in accept.split(","):
        media, *parameters = (word.strip().lower() for word in choice.split(";"))
        if media in weights:
            weights[media] = max(weights[media], _weight(parameters))
    is_open = 0 < weights["application/openmetrics-text"] >= weights["text/plain"]
    return PageForm.OPEN_METRICS if is_open else PageForm.CLASSIC


def number_text(value: float) -> str:
    """Return a value as both formats write it; what is read again is the same number."""
    if math.isfinite(value):
        return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
    if math.isnan(value):
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _home(name: str, kinds: Mapping[str, str]) -> str:
    """Return the family of a sample's name: itself, or the histogram or summary that it is a part of."""
    if name in kinds:
        return name
    for kind, suffixes in _PARTS.items():
        for suffix in suffixes:
            base = name.removesuffix(suffix)
            if base != name and kinds.get(base) == kind:
                return base
    return name


def _comments(name: str, page: MetricPage) -> tuple[str, str]:
    """Return a family's kind and help; a page may give those of a counter ``x_total`` to ``x``, as OpenMetrics does."""
    stem = name.removesuffix(_TOTAL)
    if name not in page.kinds and page.kinds.get(stem) == "counter":
        return "counter", page.helps.get(stem, "")
    kind = page.kinds.get(name, _UNTYPED)
    return kind if kind in _KINDS else _UNTYPED, page.helps.get(name, "")


def _truthful(each: Family) -> Sequence[Family]:
    """Return the family, or its numbers as families of no kind when it is not what its comment says."""
    match each.kind:
        case "histogram":
            is_sound = all(map(_is_histogram, _by_group(each).values()))
        case "summary":
            is_sound = all(_is_part_of_summary(each.name, sample) for sample in each.samples)
        case "counter":
            is_sound = all(sample.value >= 0 for sample in each.samples)
        case _:
            is_sound = all(sample.name == each.name for sample in each.samples)
    return (each,) if is_sound else tuple(_apart(each))


def _apart(each: Family) -> Iterator[Family]:
    """Yield the samples by their whole names, as numbers of no kind."""
    by_name: dict[str, list[Sample]] = {}
    for sample in each.samples:
        by_name.setdefault(sample.name, []).append(sample)
    for name, samples in by_name.items():
        yield Family(name=name, help_text=each.help_text, samples=tuple(samples))


def _by_group(each: Family) -> dict[frozenset[tuple[str, str]], list[Sample]]:
    """Return the samples by the labels of what they tell of: without a bucket's bound, a summary's quantile."""
    own = _OWN_LABEL.get(each.kind)
    groups: dict[frozenset[tuple[str, str]], list[Sample]] = {}
    for sample in each.samples:
        key = frozenset(pair for pair in label_pairs(sample.labels) if pair[0] != own)
        groups.setdefault(key, []).append(sample)
    return groups


def _is_histogram(samples: Sequence[Sample]) -> bool:
    """Whether one group has rising buckets up to ``+Inf``, which holds as many as its count; or no count and no sum."""
    buckets = sorted((_bound(sample), sample.value) for sample in samples if sample.name.endswith("_bucket"))
    others = {sample.name[-4:]: sample.value for sample in samples if not sample.name.endswith("_bucket")}
    values = [value for _, value in buckets]
    counts = [*values, *(value for name, value in others.items() if name != "_sum")]
    return (
        bool(buckets)
        and buckets[-1][0] == math.inf
        and not any(math.isnan(each) for each, _ in buckets)
        and all(count >= 0 and count.is_integer() for count in counts)
        and values == sorted(values)
        and (others.keys() == {"_sum", "ount"} or not others)
        and others.get("ount", values[-1]) == values[-1]
        and not math.isnan(others.get("_sum", 0.0))
    )


def bound_of(text: str) -> float:
    """Return the upper bound that a bucket's label ``le`` gives, NaN when it gives none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _bound(sample: Sample) -> float:
    return bound_of(dict(label_pairs(sample.labels)).get("le", ""))


def _is_part_of_summary(name: str, sample: Sample) -> bool:
    if sample.name != name:
        return sample.value >= 0  # a NaN is not
    quantile = bound_of(dict(label_pairs(sample.labels)).get("quantile", ""))
    return 0 <= quantile <= 1 and not sample.value < 0


def _classic_lines(each: Family) -> Iterator[str]:
    if each.help_text:
        yield f"# HELP {each.name} {each.help_text}\n"
    yield f"# TYPE {each.name} {each.kind}\n"
    for name, value, labels, milliseconds in each.samples:
        time = "" if milliseconds is None else f" {milliseconds}"
        yield f"{name}{f'{{{labels}}}' if labels else ''} {number_text(value)}{time}\n"


def _open_lines(each: Family) -> Iterator[str]:
    kind = "unknown" if each.kind == _UNTYPED else each.kind
    if each.help_text:
        words = _QUOTE.sub(lambda mark: '\\"' if mark[0] == '"' else mark[0], each.help_text)
        yield f"# HELP {each.name} {words}\n"
    yield f"# TYPE {each.name} {kind}\n"
    own = _OWN_LABEL.get(each.kind)
    groups = _by_group(each).values() if each.kind in _RESERVED else (each.samples,)
    for samples in groups:
        ordered = sorted(samples, key=_place) if own == "le" else samples
        for name, value, labels, milliseconds in ordered:
            time = "" if milliseconds is None else f" {milliseconds / 1000:.3f}"
            text = _canonical(labels, own) if own else labels
            yield f"{name}{f'{{{text}}}' if text else ''} {number_text(value)}{time}\n"


def _place(sample: Sample) -> tuple[bool, float]:
    is_bucket = sample.name.endswith("_bucket")
    return not is_bucket, _bound(sample) if is_bucket else 0.0


def _canonical(labels: str, own: str) -> str:
    """Return labels with a bound as OpenMetrics writes numbers there: ``le="1.0"``, ``le="1e+06"``."""
    return pairs_text(
        tuple((name, bound_text(float(value)) if name == own else value) for name, value in label_pairs(labels))
    )


def bound_text(value: float) -> str:
    """Return a bucket's bound as Prometheus' own libraries write it, which turn to exponents at a million."""
    text = repr(value)
    whole, dot, _ = text.partition(".")
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value > 0 and dot and "e" not in text and len(whole) > 6:
        digits = text.replace(".", "").rstrip("0")
        mantissa = f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits
        return f"{mantissa}e+{len(whole) - 1:02}"
    return text


def _open_families(families: Sequence[Family]) -> Iterator[Family]:
    """Yield families under OpenMetrics' names, none of which another one owns."""
    owners = {_stem(each): each for each in families if each.kind in _RESERVED and _has_open_name(each)}
    births = {
        each.name.removesuffix(_CREATED): each.samples
        for each in families
        if each.name.endswith(_CREATED) and each.kind == "gauge" and each.name.removesuffix(_CREATED) in owners
    }
    taken: set[str] = set()
    for each in families:
        stem = each.name.removesuffix(_CREATED)
        if stem != each.name and stem in births:
            continue
        named = replace(each, name=_stem(each)) if each.kind in _RESERVED else each
        if each.kind in _RESERVED and _has_open_name(each):
            named = replace(named, samples=each.samples + births.get(named.name, ()))
        for written in (named,) if named.kind not in _RESERVED or _has_open_name(each) else _apart(each):
            yield from _free(written, each, taken)


def _free(written: Family, original: Family, taken: set[str]) -> Iterator[Family]:
    """Yield a family whose names are free; else its samples as numbers of no kind, as far as their names are."""
    for each in (written, *(_apart(original) if written.kind in _RESERVED else ())):
        names = {each.name + suffix for suffix in _RESERVED.get(each.kind, ("",))}
        if names.isdisjoint(taken):
            taken |= names
            yield each
            if each is written:
                return


def _has_open_name(each: Family) -> bool:
    return each.kind != "counter" or all(sample.name.endswith(_TOTAL) for sample in each.samples)


def _stem(each: Family) -> str:
    return each.name.removesuffix(_TOTAL) if each.kind == "counter" else each.name
