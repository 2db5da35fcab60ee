"""Pages of Prometheus' text format, read line by line: the project's only reader of them. Pure.

``prometheus_client`` costs 10 MiB beside every engine and reads a page into families; here a page is read line by line,
and what cannot be read is kept apart for the caller to judge: a scraper refuses a whole page for one such line. A page
may be of megabytes: who must not stand still meanwhile takes ``reading`` step by step.

Source: Prometheus, "Exposition formats", text format 0.0.4. Labels are kept as they are written, but for spaces between
them; values are what the text parser of Prometheus takes, in its usual spelling (``NaN``, ``+Inf``).
"""

import re
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

Labels = tuple[tuple[str, str], ...]
"""Names and values of labels, the values as they are written (escaped)."""
Result = TypeVar("Result")

_STEP_LINES = 400  # about 2 ms of one core
# Everything is possessive: no line, however long, is tried twice.
_NAME = r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*+)"
_VALUE = (
    r"[ \t]++(?P<value>[+-]?(?:[0-9]++\.?+[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?+|NaN|[+-]?Inf)"
    r"(?:[ \t]++(?P<time>-?[0-9]++))?+[ \t]*+"
)
_QUOTED = r'"(?:[^"\\]|\\[\\"n])*+"'
_LABEL = rf"[a-zA-Z_][a-zA-Z0-9_]*+={_QUOTED}"
_SPACED_LABEL = rf"[a-zA-Z_][a-zA-Z0-9_]*+[ \t]*+=[ \t]*+{_QUOTED}[ \t]*+"
_SAMPLE = re.compile(rf"{_NAME}(?:\{{(?P<labels>(?:{_LABEL}(?:,(?!\}})|(?=\}})))*+)\}})?+{_VALUE}")
_SPACED_SAMPLE = re.compile(
    rf"{_NAME}[ \t]*+\{{[ \t]*+(?P<labels>(?:{_SPACED_LABEL}(?:,[ \t]*+|(?=\}})))*+)\}}{_VALUE}"
)
_PAIR = re.compile(rf"([a-zA-Z_][a-zA-Z0-9_]*+)[ \t]*+=[ \t]*+({_QUOTED})")


class Sample(NamedTuple):
    """One value; ``labels`` is the text between the braces, empty when there are none.

    ``milliseconds`` is the time that the page itself gives for it, mostly none.
    """

    name: str
    value: float
    labels: str = ""
    milliseconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricPage:
    """A page as read. ``samples`` in its order; ``kinds`` and ``helps`` by a metric's name, as its comments say.

    Of two comments on one metric the first counts. ``broken_lines`` are neither comments nor samples: a page cut short,
    or one that is no such page.
    """

    samples: tuple[Sample, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    helps: Mapping[str, str] = field(default_factory=dict)
    broken_lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Series:
    """Which samples are meant: a metric's name, or that with some of its labels; see ``series_of``."""

    name: str
    labels: frozenset[tuple[str, str]]

    def holds(self, sample: Sample) -> bool:
        """Return whether ``sample`` has this name and at least these labels."""
        return sample.name == self.name and (not self.labels or self.labels <= set(label_pairs(sample.labels)))


def read_metric_page(text: str) -> MetricPage:
    """Return what a page says; never raises."""
    return finished(reading(text))


def reading(text: str) -> Generator[None, None, MetricPage]:
    """Read a page in steps of some milliseconds; the generator's result is what ``read_metric_page`` returns."""
    samples: list[Sample] = []
    comments: dict[str, dict[str, str]] = {"TYPE": {}, "HELP": {}}
    broken_lines: list[str] = []
    # Not splitlines(), which splits at marks that may stand in a label's value.
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        sample = _sample(line)
        if sample is not None:
            samples.append(sample)
        elif line.startswith("#"):
            _note_comment(line, comments)
        elif line:
            broken_lines.append(line)
        if number % _STEP_LINES == 0:
            yield
    return MetricPage(
        samples=tuple(samples),
        kinds=comments["TYPE"],
        helps=comments["HELP"],
        broken_lines=tuple(broken_lines),
    )


def lines_about(text: str, names: Iterable[str]) -> str:
    """Return the lines of a page that begin with one of ``names``: all samples of these names, and perhaps others.

    Some 1,000 times cheaper than reading a page, for who wants to know a few numbers of a large one.
    """
    page = f"\n{text}\n"
    lines: dict[int, str] = {}
    for name in names:
        at = page.find(f"\n{name}")
        while at >= 0:
            end = page.find("\n", at + 1)
            lines[at] = page[at + 1 : end]
            at = page.find(f"\n{name}", end)
    return "\n".join(lines[at] for at in sorted(lines))


def finished(steps: Generator[None, None, Result]) -> Result:
    """Return the result of all steps, taken at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


def label_pairs(labels: str) -> Labels:
    """Return the labels of a sample or a series, in their order, the values as written."""
    return tuple((name, quoted[1:-1]) for name, quoted in _PAIR.findall(labels))


def series_of(text: str) -> Series:
    """Return the series that an engine's plugin names: ``name`` or ``http_requests_total{status="5xx"}``."""
    name, _, labels = text.partition("{")
    return Series(name, frozenset(label_pairs(labels)))


def labels_text(**labels: str) -> str:
    r"""Return labels as they stand between the braces, escaped, in the order given: ``engine="a\"b",result="ok"``."""
    return pairs_text(tuple((name, _escaped(value)) for name, value in labels.items()))


def pairs_text(pairs: Labels) -> str:
    """Return labels as they stand between the braces; their values are escaped already."""
    return ",".join(f'{name}="{value}"' for name, value in pairs)


def _sample(line: str) -> Sample | None:
    match = _SAMPLE.fullmatch(line)
    if match is None:
        match = _SPACED_SAMPLE.fullmatch(line)
        if match is None:
            return None
        labels = pairs_text(label_pairs(match["labels"]))
    else:
        labels = match["labels"] or ""
    time = match["time"]
    return Sample(match["name"], float(match["value"]), labels, int(time) if time else None)


def _note_comment(line: str, comments: Mapping[str, dict[str, str]]) -> None:
    words = line.split(None, 3)
    if len(words) >= 3 and words[0] == "#" and words[1] in comments:
        comments[words[1]].setdefault(words[2], words[3] if len(words) == 4 else "")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
