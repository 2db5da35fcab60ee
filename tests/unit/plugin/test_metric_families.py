"""Metrics as families, in both of Prometheus' formats (rayfleet.plugin.metric_families); its client's parsers judge."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from prometheus_client import Metric

from rayfleet.plugin.metric_families import (
    Family,
    PageForm,
    accepted_form,
    bound_text,
    family,
    grouping,
    number_text,
    rendering,
)
from rayfleet.plugin.metric_page import finished, label_pairs, read_metric_page
from rayfleet.testing.metric_pages import read_classic, read_open

DATA = Path(__file__).parents[2] / "data"
PAGES = ("vllm-metrics.txt", "vllm-0.10-metrics.txt", "sglang-metrics.txt", "llamacpp-metrics.txt")
READERS = {PageForm.CLASSIC: read_classic, PageForm.OPEN_METRICS: read_open}
HISTOGRAM = '# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 3\nh_count 3\nh_sum 4\n'
BORN = (
    '# TYPE a_total counter\na_total{x="1"} 1\na_total{x="2"} 2\n'
    '# TYPE a_created gauge\na_created{x="1"} 8\na_created{x="2"} 9\n'
)
PROMETHEUS_ACCEPT = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
Values = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def families(text: str, *foreign: str) -> tuple[Family, ...]:
    return finished(grouping(read_metric_page(text), foreign=foreign))


def written(text: str, form: PageForm = PageForm.CLASSIC) -> str:
    return finished(rendering(families(text), form))


def lines(page: str) -> list[str]:
    return [line for line in page.splitlines() if not line.startswith("# HELP")]


def values(metrics: Iterable[Metric]) -> Values:
    read: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for metric in metrics:
        for sample in metric.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in read, f"{key} stands twice"
            read[key] = sample.value
    return read


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("form", PageForm)
def test_a_recorded_page_comes_out_with_each_series_once_and_its_value(name: str, form: PageForm) -> None:
    text = (DATA / name).read_text(encoding="utf-8")
    page = read_metric_page(text)
    passed_on = values(READERS[form](written(text, form)))
    # The client gives each counter of the classic form its suffix, also one that lacks it on the page.
    names = {sample.name.removesuffix("_total") for sample in page.samples}
    assert {key[0].removesuffix("_total") for key in passed_on} == names
    assert sum(passed_on.values()) == pytest.approx(sum(sample.value for sample in page.samples), rel=1e-12)
    assert len(passed_on) == len(page.samples)


@pytest.mark.parametrize("name", PAGES)
def test_a_recorded_page_in_the_classic_form_is_what_it_was(name: str) -> None:
    text = (DATA / name).read_text(encoding="utf-8")
    assert values(read_classic(written(text))) == values(read_classic(text))


@pytest.mark.parametrize("name", PAGES)
def test_a_recorded_page_keeps_its_kinds(name: str) -> None:
    text = (DATA / name).read_text(encoding="utf-8")
    has_no_kind = {"llamacpp:n_tokens_max"}  # a counter by its comment, without the suffix that OpenMetrics asks for
    kinds = {
        metric.name: metric.type
        for metric in read_classic(text)
        if not metric.name.endswith("_created") and metric.name not in has_no_kind
    }
    openly = {metric.name: metric.type for metric in read_open(written(text, PageForm.OPEN_METRICS))}
    assert {name: openly[name] for name in kinds} == kinds


@pytest.mark.parametrize(
    ("page", "classic", "openly"),
    [
        ("a 1\n", ["# TYPE a untyped", "a 1"], ["# TYPE a unknown", "a 1"]),
        ("# TYPE a counter\na 1\n", ["# TYPE a counter", "a 1"], ["# TYPE a unknown", "a 1"]),
        (
            "# TYPE a_total counter\na_total 1\n",
            ["# TYPE a_total counter", "a_total 1"],
            ["# TYPE a counter", "a_total 1"],
        ),
        (  # as OpenMetrics has it
            "# TYPE a counter\na_total 1\n",
            ["# TYPE a_total counter", "a_total 1"],
            ["# TYPE a counter", "a_total 1"],
        ),
        (  # each group in one piece, born and all
            BORN,
            [
                *("# TYPE a_total counter", 'a_total{x="1"} 1', 'a_total{x="2"} 2'),
                *("# TYPE a_created gauge", 'a_created{x="1"} 8', 'a_created{x="2"} 9'),
            ],
            [
                *("# TYPE a counter", 'a_total{x="1"} 1', 'a_created{x="1"} 8'),
                *('a_total{x="2"} 2', 'a_created{x="2"} 9'),
            ],
        ),
        (
            HISTOGRAM,
            HISTOGRAM.splitlines(),
            ["# TYPE h histogram", 'h_bucket{le="1.0"} 2', 'h_bucket{le="+Inf"} 3', "h_count 3", "h_sum 4"],
        ),
        (  # times: milliseconds there, seconds here
            "a 1 1500\n",
            ["# TYPE a untyped", "a 1 1500"],
            ["# TYPE a unknown", "a 1 1.500"],
        ),
        (  # the counter owns the gauge's name
            "# TYPE a gauge\na 1\n# TYPE a_total counter\na_total 2\n",
            ["# TYPE a gauge", "a 1", "# TYPE a_total counter", "a_total 2"],
            ["# TYPE a gauge", "a 1", "# TYPE a_total unknown", "a_total 2"],
        ),
        ("# TYPE a info\na 1\n", ["# TYPE a untyped", "a 1"], ["# TYPE a unknown", "a 1"]),
        ("# TYPE a gauge\n", [], []),
    ],
)
def test_a_page_is_written_in_both_forms(page: str, classic: list[str], openly: list[str]) -> None:
    assert lines(written(page)) == classic
    assert lines(written(page, PageForm.OPEN_METRICS)) == [*openly, "# EOF"]
    for form, read in READERS.items():
        values(read(written(page, form)))


@pytest.mark.parametrize(
    "page",
    [
        '# TYPE h histogram\nh_bucket{le="1"} 2\nh_count 2\nh_sum 1\n',  # no +Inf
        '# TYPE h histogram\nh_bucket{le="1"} 3\nh_bucket{le="+Inf"} 2\nh_count 2\nh_sum 1\n',  # falls
        '# TYPE h histogram\nh_bucket{le="+Inf"} 2\nh_count 3\nh_sum 1\n',  # another count
        '# TYPE h histogram\nh_bucket{le="+Inf"} 2\nh_count 2\n',  # no sum
        '# TYPE h histogram\nh_bucket{le="+Inf"} 2.5\nh_count 2.5\nh_sum 1\n',  # half a request
        '# TYPE h histogram\nh_bucket{le="x"} 2\nh_bucket{le="+Inf"} 2\nh_count 2\nh_sum 1\n',
        "# TYPE h histogram\nh_count 2\nh_sum 1\n",
        "# TYPE h histogram\nh 2\n",
        '# TYPE s summary\ns{quantile="2"} 2\ns_count 2\ns_sum 1\n',
        "# TYPE s summary\ns_count -2\ns_sum 1\n",
        "# TYPE c_total counter\nc_total -1\n",
        "# TYPE c_total counter\nc_total NaN\n",
    ],
)
def test_what_is_no_histogram_summary_or_counter_is_not_called_one(page: str) -> None:
    for form, read in READERS.items():
        metrics = list(read(written(page, form)))
        assert {metric.type for metric in metrics} == {"unknown"}
        assert len(values(metrics)) + any("NaN" in line for line in [page]) >= page.count("\n") - 1


def test_a_sound_histogram_without_count_and_sum_stays_one() -> None:
    (metric,) = read_open(written('# TYPE h histogram\nh_bucket{le="+Inf"} 2\n', PageForm.OPEN_METRICS))
    assert metric.type == "histogram"


def test_a_series_that_stands_twice_comes_once_with_its_first_value_whatever_the_order_of_its_labels() -> None:
    assert lines(written('a{x="1",y="2"} 1\na{y="2",x="1"} 2\na{x="1",y="2"} 3\n')) == [
        "# TYPE a untyped",
        'a{x="1",y="2"} 1',
    ]


def test_a_sample_with_one_label_twice_is_left_out() -> None:
    assert lines(written('a{x="1",x="2"} 1\n')) == []


def test_a_family_is_one_however_its_samples_lie_on_the_page() -> None:
    page = '# TYPE a gauge\na{x="1"} 1\n# TYPE b gauge\nb 1\n# TYPE a gauge\na{x="2"} 2\n'
    assert [(each.name, len(each.samples)) for each in families(page)] == [("a", 2), ("b", 1)]
    assert written(page).count("# TYPE a ") == 1


def test_names_that_are_not_the_pages_to_use_are_left_out() -> None:
    assert [each.name for each in families("rayfleet_sidecar_a 1\nrayfleet_llamacpp_a 1\n", "rayfleet_sidecar_")] == [
        "rayfleet_llamacpp_a"
    ]


def test_a_help_with_marks_of_the_format_is_read_as_it_was_meant() -> None:
    page = '# HELP a A "b" \\\\ c\\nd.\n# TYPE a gauge\na 1\n'
    for form, read in READERS.items():
        (metric,) = read(written(page, form))
        assert metric.documentation == 'A "b" \\ c\nd.'


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", PageForm.CLASSIC),
        ("*/*", PageForm.CLASSIC),
        ("text/plain", PageForm.CLASSIC),
        ("application/openmetrics-text", PageForm.OPEN_METRICS),
        (
            PROMETHEUS_ACCEPT,
            PageForm.OPEN_METRICS,
        ),
        ("application/openmetrics-text;q=0.4, text/plain;q=0.5", PageForm.CLASSIC),
        ("application/openmetrics-text;q=0, */*", PageForm.CLASSIC),
        ("application/openmetrics-text;q=much", PageForm.CLASSIC),
        ("Application/OpenMetrics-Text; Q=1", PageForm.OPEN_METRICS),
    ],
)
def test_the_form_is_the_one_that_is_liked_best(accept: str, form: PageForm) -> None:
    assert accepted_form(accept) is form


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "1"), (3.0, "3"), (-2.5, "-2.5"), (1e15, "1000000000000000.0"), (math.inf, "+Inf"), (math.nan, "NaN")],
)
def test_a_number_is_written_as_both_formats_read_it(value: float, text: str) -> None:
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1.0"), (0.005, "0.005"), (2560.0, "2560.0"), (1e6, "1e+06"), (2.5e7, "2.5e+07"), (math.inf, "+Inf")],
)
def test_a_bound_is_written_as_prometheus_own_libraries_do(value: float, text: str) -> None:
    assert bound_text(value) == text
    page = f'# TYPE h histogram\nh_bucket{{le="{value!r}"}} 1\nh_bucket{{le="+Inf"}} 1\nh_count 1\nh_sum 1\n'
    values(read_open(written(page.replace("inf", "+Inf"), PageForm.OPEN_METRICS)))


def test_a_large_page_is_done_in_many_steps() -> None:
    page = read_metric_page("".join(f'a{{x="{number}"}} 1\n' for number in range(3_000)))
    assert sum(1 for _ in grouping(page)) >= 10
    (one,) = finished(grouping(page))
    assert sum(1 for _ in rendering((one,), PageForm.OPEN_METRICS)) >= 10


def test_a_metric_of_ours_is_a_family() -> None:
    made = family("a_total", "counter", "Made.", [('x="1"', 2)])
    assert [(sample.name, label_pairs(sample.labels), sample.value) for sample in made.samples] == [
        ("a_total", (("x", "1"),), 2)
    ]
