"""Prometheus' text pages, read and written (rayfleet.plugin.metric_page)."""

import math
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rayfleet.plugin.metric_families import render_metric
from rayfleet.plugin.metric_page import (
    Sample,
    label_pairs,
    labels_text,
    lines_about,
    read_metric_page,
    reading,
    series_of,
)

DATA = Path(__file__).parents[2] / "data"


@pytest.mark.parametrize(
    ("line", "sample"),
    [
        ("a 1", Sample("a", 1)),
        ("a:b_2\t-1.5e+09", Sample("a:b_2", -1.5e9)),
        ("a .5 1700000000", Sample("a", 0.5, "", 1700000000)),
        ("a 1. -17 ", Sample("a", 1, "", -17)),
        ("a{} 2", Sample("a", 2)),
        ('a {x="1 } y",z=""} 1700', Sample("a", 1700, 'x="1 } y",z=""')),
        ('a { x = "1" , y="2", } 3', Sample("a", 3, 'x="1",y="2"')),
        ('a{x="1",} 3', Sample("a", 3, 'x="1"')),
        ('a{x="a\\"b\\\\,c\\n\u2028 d"} 3', Sample("a", 3, 'x="a\\"b\\\\,c\\n\u2028 d"')),
        ("a 1\r\n", Sample("a", 1)),
        ('a_bucket{le="+Inf"} +Inf', Sample("a_bucket", math.inf, 'le="+Inf"')),
        ("a -Inf", Sample("a", -math.inf)),
    ],
)
def test_a_sample_is_read_with_its_labels_as_they_are_written(line: str, sample: Sample) -> None:
    page = read_metric_page(line)
    assert (page.samples, page.broken_lines) == ((sample,), ())


def test_a_value_that_is_no_number_is_read_as_such() -> None:
    (sample,) = read_metric_page("a NaN").samples
    assert math.isnan(sample.value)


@pytest.mark.parametrize(
    "line",
    [
        "a",
        "a ",
        "a x",
        "2a 1",
        "a{x= 1",
        "a{x=1} 1",
        'a{x="1"y="2"} 1',
        'a{x="1",,} 1',
        'a{,x="1"} 1',
        'a{x="\\d"} 1',
        'a{x="1} 1',
        '{"a.b",x="1"} 1',
        '{"running": 3}',
        "a 1 2 3",
        "a 1.2.3",
        "a 1_000",
        "a 0x10",
        "a nan1",
        " a 1",
        "a 1e",
    ],
)
def test_a_line_that_a_scraper_would_refuse_is_kept_apart_and_the_others_are_read(line: str) -> None:
    page = read_metric_page(f"before 1\n{line}\nafter 2\n")
    assert page.broken_lines == (line,)
    assert [sample.name for sample in page.samples] == ["before", "after"]


def test_comments_say_kinds_and_helps_and_no_comment_is_broken() -> None:
    page = read_metric_page("# HELP a What  it is.\n# TYPE a counter\n# HELP b\n# whatever\n#\n# EOF\n\na 1\n")
    assert page.kinds == {"a": "counter"}
    assert page.helps == {"a": "What  it is.", "b": ""}
    assert page.broken_lines == ()


@pytest.mark.parametrize("name", ["vllm-metrics.txt", "llamacpp-metrics.txt"])
def test_a_recorded_page_is_read_as_the_client_library_reads_it(name: str) -> None:
    text = (DATA / name).read_text(encoding="utf-8")
    page = read_metric_page(text)
    families = list(text_string_to_metric_families(text))
    expected = [(sample.name, sample.value) for family in families for sample in family.samples]
    # The library gives each counter its suffix, also one that lacks it on the page.
    assert [(sample.name.removesuffix("_total"), sample.value) for sample in page.samples] == [
        (name.removesuffix("_total"), value) for name, value in expected
    ]
    assert set(page.kinds.values()) >= {family.type for family in families}
    assert page.broken_lines == ()


@pytest.mark.parametrize(
    "line",
    [
        'a{x="' + "\\\\" * 100_000,
        "a{" + 'x="",' * 50_000 + "y",
        "a{ " + 'x="", ' * 50_000 + "y",
        "a" + " " * 200_000 + "x",
        "a " + "1" * 200_000 + "x",
        "a{" + "} " * 100_000,
        "a 1" + " " * 200_000 + "x",
        "a" * 200_000,
    ],
    ids=["escapes", "labels", "spaced labels", "spaces", "digits", "braces", "end", "name"],
)
def test_a_line_made_to_be_slow_is_read_once(line: str) -> None:
    assert read_metric_page(line).broken_lines == (line,)  # the test's own limit would end a quadratic reading


def test_a_metric_is_written_as_a_scraper_reads_it() -> None:
    samples = [(labels_text(engine='a"b\\c\n', result="ok"), 3), (labels_text(engine="d"), 0.25)]
    text = render_metric("made_total", "counter", "Things made.", samples)
    assert text == (
        "# HELP made_total Things made.\n"
        "# TYPE made_total counter\n"
        'made_total{engine="a\\"b\\\\c\\n",result="ok"} 3\n'
        'made_total{engine="d"} 0.25\n'
    )
    (family,) = text_string_to_metric_families(text)
    assert [sample.labels for sample in family.samples] == [{"engine": 'a"b\\c\n', "result": "ok"}, {"engine": "d"}]


def test_what_is_written_is_read_again() -> None:
    values = [0.0, 1.0, -2.5, 1e300, 123456789012.0, 1795474107.3335063, 0.1 + 0.2, math.inf, -math.inf]
    text = render_metric("a", "gauge", "", [("", value) for value in values])
    page = read_metric_page(text)
    assert [sample.value for sample in page.samples] == values
    assert (page.kinds, page.helps) == ({"a": "gauge"}, {})
    assert read_metric_page(render_metric("a", "gauge", "", [("", math.nan)])).broken_lines == ()


def test_the_first_of_two_comments_on_a_metric_counts() -> None:
    page = read_metric_page("# TYPE a counter\n# HELP a One.\n# TYPE a gauge\n# HELP a Two.\n")
    assert (page.kinds, page.helps) == ({"a": "counter"}, {"a": "One."})


def test_labels_are_taken_apart_at_their_own_commas() -> None:
    assert label_pairs('x="1,2",y="a\\"b"') == (("x", "1,2"), ("y", 'a\\"b'))
    assert label_pairs("") == ()


@pytest.mark.parametrize(
    ("series", "sample", "is_meant"),
    [
        ("a", Sample("a", 1), True),
        ("a", Sample("a", 1, 'x="1"'), True),
        ("a", Sample("ab", 1), False),
        ('a{x="1"}', Sample("a", 1, 'y="2",x="1"'), True),
        ('a{x="1",y="2"}', Sample("a", 1, 'y="2",x="1"'), True),
        ('a{x="1"}', Sample("a", 1, 'x="12"'), False),
        ('a{x=""}', Sample("a", 1, 'x="12"'), False),
        ('a{x=""}', Sample("a", 1), False),
        ('a{x="1,2"}', Sample("a", 1, 'x="1,2"'), True),
        ('a{x="2"}', Sample("a", 1, 'y="1,x=2"'), False),
    ],
)
def test_a_series_is_a_name_with_at_least_its_labels(series: str, sample: Sample, is_meant: bool) -> None:
    assert series_of(series).holds(sample) is is_meant


def test_the_lines_about_a_name_are_taken_from_a_page_unread() -> None:
    page = 'a 1\nb{x="1"} 2\n# TYPE a gauge\nab 3\nc 4\na 5'
    assert lines_about(page, ("b", "a")) == 'a 1\nb{x="1"} 2\nab 3\na 5'
    assert lines_about(page, ("x", "d")) == ""
    assert lines_about("", ("a",)) == ""


def test_a_large_page_is_read_in_many_steps() -> None:
    steps = reading("a 1\n" * 10_000)
    assert sum(1 for _ in steps) >= 20
