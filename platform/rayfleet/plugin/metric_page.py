"""Pages of Prometheus' text format, read and written, for parts too small for a client library. Pure.

``prometheus_client`` costs 10 MiB beside every engine and reads a page into families; here a page is read line by line,
and what cannot be read is kept apart for the caller to judge: a scraper refuses a whole page for one such line.

Source: Prometheus, "Exposition formats", text format 0.0.4. Labels are kept as they are written; values are what the
text parser of Prometheus takes, in its usual spelling (``NaN``, ``+Inf``).
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

# Name, labels, value, perhaps a time in milliseconds. Possessive: no line, however long, is tried twice.
_SAMPLE = re.compile(
    r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*+)(?:[ \t]*+\{(?P<labels>.*)\})?[ \t]++"
    r"(?P<value>[+-]?(?:[0-9]++\.?+[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?+|NaN|[+-]?Inf)"
    r"(?:[ \t]++-?[0-9]++)?+[ \t]*+"
)


class Sample(NamedTuple):
    """One value; ``labels`` is the text between the braces, empty when there are none."""

    name: str
    value: float
    labels: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricPage:
    """A page as read. ``samples`` in its order; ``kinds`` and ``helps`` by a metric's name, as its comments say.

    ``broken_lines`` are neither comments nor samples: a page cut short, or one that is no such page.
    """

    samples: tuple[Sample, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    helps: Mapping[str, str] = field(default_factory=dict)
    broken_lines: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """Every name on the page, of samples and in comments."""
        return frozenset({sample.name for sample in self.samples} | self.kinds.keys() | self.helps.keys())


def read_metric_page(text: str) -> MetricPage:
    """Return what a page says; never raises."""
    samples: list[Sample] = []
    comments: dict[str, dict[str, str]] = {"TYPE": {}, "HELP": {}}
    broken_lines: list[str] = []
    for line in text.splitlines():
        match = _SAMPLE.fullmatch(line)
        if match is not None:
            name, labels, value = match.groups("")
            samples.append(Sample(name, float(value), labels))
        elif line.startswith("#"):
            _note_comment(line, comments)
        elif line:
            broken_lines.append(line)
    return MetricPage(
        samples=tuple(samples),
        kinds=comments["TYPE"],
        helps=comments["HELP"],
        broken_lines=tuple(broken_lines),
    )


def render_metric(name: str, kind: str, help_text: str, samples: Iterable[tuple[str, float]]) -> str:
    """Return the lines of one metric, its comments first; a sample is its labels (see ``labels_text``) and its value.

    ``help_text`` empty: the metric has no such line. At most 12 digits of a value are written.
    """
    head = f"# HELP {name} {help_text}\n" if help_text else ""
    body = "".join(f"{name}{f'{{{labels}}}' if labels else ''} {_written(value)}\n" for labels, value in samples)
    return f"{head}# TYPE {name} {kind}\n{body}"


def labels_text(**labels: str) -> str:
    r"""Return labels as they stand between the braces, escaped, in the order given: ``engine="a\"b",result="ok"``."""
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _note_comment(line: str, comments: Mapping[str, dict[str, str]]) -> None:
    words = line.split(None, 3)
    if len(words) >= 3 and words[0] == "#" and words[1] in comments:
        comments[words[1]][words[2]] = words[3] if len(words) == 4 else ""


def _written(value: float) -> str:
    if math.isfinite(value):
        return f"{value:.12g}"
    if math.isnan(value):
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
