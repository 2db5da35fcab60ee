"""Checks of the series that a plan names, and of a recorded page that has them."""

import re
from collections.abc import Iterator

from rayfleet.model.engine import TrafficMetrics
from rayfleet.plugin.metric_page import Sample, read_metric_page
from rayfleet.testing.suites.engine.promises import TRAFFIC, promise
from rayfleet.testing.suites.engine.tested import TestedEngine

_SERIES = re.compile(r'[a-zA-Z_:][\w:]*(\{\w+="[^"\s,]*"(,\w+="[^"\s,]*")*\})?')
_COUNTER = re.compile(r".*(_total|_count|_sum)")


class MetricChecks(TestedEngine):
    """What the sidecar is told of requests."""

    @promise(TRAFFIC)
    def test_its_series_can_be_told_to_the_sidecar(self) -> None:
        """Names with perhaps some labels, as the metrics page writes them; a space would part one in two."""
        for traffic in self._traffic():
            for series in _all_series(traffic):
                assert _SERIES.fullmatch(series), f'{series!r} is no series: write name or name{{label="value"}}'
            assert traffic.running or not traffic.steps, "steps are compared with what runs: name `running` too"

    @promise(TRAFFIC)
    def test_its_series_each_have_one_meaning(self) -> None:
        """A series that is named twice would be counted twice."""
        for traffic in self._traffic():
            series = list(_all_series(traffic))
            twice = sorted({each for each in series if series.count(each) > 1})
            assert twice == [], f"{twice} are named twice"

    @promise(TRAFFIC)
    def test_what_grows_is_a_counter(self) -> None:
        """``served`` and ``failed`` are counters or the counts of histograms, by their names."""
        for traffic in self._traffic():
            names = [each.partition("{")[0] for each in (*traffic.served, *traffic.failed)]
            gauges = [name for name in names if not _COUNTER.fullmatch(name)]
            assert gauges == [], f"{gauges} end neither in _total nor in _count: are they counters?"

    @promise(TRAFFIC, needs="metrics_page")
    def test_its_page_can_be_read(self) -> None:
        """Every line of the recorded page is a sample or a comment."""
        page = read_metric_page(self.metrics_page)
        assert page.broken_lines == (), f"these lines cannot be read: {page.broken_lines[:3]}"
        assert page.samples

    @promise(TRAFFIC, needs="metrics_page")
    def test_its_page_has_what_runs_and_what_steps(self) -> None:
        """Under the very names of the plan: a version that renamed them would leave a stalled engine unseen."""
        samples = read_metric_page(self.metrics_page).samples
        for traffic in self._traffic():
            for series in (*traffic.running, *traffic.waiting, *traffic.steps):
                assert any(_is_of(sample, series) for sample in samples), f"{series} is not on the recorded page"

    @promise(TRAFFIC, needs="metrics_page")
    def test_its_page_says_what_its_series_are(self) -> None:
        """What runs and waits are gauges there, where the page says so."""
        kinds = read_metric_page(self.metrics_page).kinds
        for traffic in self._traffic():
            for series in (*traffic.running, *traffic.waiting):
                name = series.partition("{")[0]
                assert kinds.get(name, "gauge") == "gauge", f"{name} is a {kinds[name]} on the recorded page"

    def _traffic(self) -> Iterator[TrafficMetrics]:
        for plan in self.plans():
            yield plan.probe.traffic


def _all_series(traffic: TrafficMetrics) -> Iterator[str]:
    yield from (*traffic.running, *traffic.waiting, *traffic.steps, *traffic.served, *traffic.failed)


def _is_of(sample: Sample, series: str) -> bool:
    name, _, labels = series.rstrip("}").partition("{")
    return sample.name == name and all(label in sample.labels for label in labels.split(",") if label)
