"""What every engine tells, from what it tells itself (rayfleet_sidecar.metrics.common)."""

from pathlib import Path

import pytest

from rayfleet.model.engine import MetricMap
from rayfleet.plugin.metric_map import decode_metric_map, encode_metric_map
from rayfleet.plugin.metric_page import read_metric_page
from rayfleet_llamacpp.metrics import METRICS as LLAMACPP
from rayfleet_sglang.metrics import METRICS as SGLANG
from rayfleet_sidecar.metrics.common import common_families, common_names
from rayfleet_sidecar.metrics.known import known_map
from rayfleet_trtllm.metrics import METRICS as TRTLLM
from rayfleet_vllm.metrics import METRICS as VLLM

DATA = Path(__file__).parents[2] / "data"
VLLM_PAGE = (DATA / "vllm-0.10-metrics.txt").read_text(encoding="utf-8")
BUCKETS = 'h_bucket{p="N",le="1.0"} 2\nh_bucket{p="N",le="+Inf"} 3\nh_count{p="N"} 3\nh_sum{p="N"} 4\n'
LABEL = 'engine="e"'


def told(page: str, metrics: MetricMap) -> dict[str, float]:
    families = common_families(read_metric_page(page).samples, metrics, "e")
    return {
        f"{sample.name.removeprefix('rayfleet_engine_')}{sample.labels.removeprefix(LABEL)}": sample.value
        for family in families
        for sample in family.samples
    }


def running(page: str, *sources: str, copies: tuple[str, ...] = ()) -> float | None:
    return told(page, MetricMap(requests_running=sources, copies=copies)).get("requests_running")


def without(page: str, *words: str) -> str:
    return "".join(line for line in page.splitlines(keepends=True) if not any(word in line for word in words))


@pytest.mark.parametrize(
    ("page", "sources", "value"),
    [
        ("a 3\n", ("a",), 3),
        ('a{e="0"} 3\na{e="1"} 4\n', ("a",), 7),  # parts of the engine
        ("b 4\n", ("a", "b"), 4),  # another version's name
        ("a 3\nb 4\n", ("a", "b"), 3),  # a version that has both
        ('a{r="x"} 1\na{r="y"} 2\n', ("total", "a"), 3),  # the total is gone, its split is not
        ('total 3\na{r="x"} 1\na{r="y"} 2\n', ("total", "a"), 3),
        ('a{p=""} 3\na{p="1"} 1\na{p="2"} 2\n', ('a{p=""}', "a"), 3),  # a total beside its split
        ("a 3\n", ('a{p=""}', "a"), 3),
        ("a 1\nb 2\n", ("a + b",), 3),
        ("a 1\n", ("a + b", "a"), 1),
        ("a 1\n", ("a + b",), None),
        ("a NaN\n", ("a",), None),
        ('a{e="0"} NaN\na{e="1"} 2\n', ("a",), 2),
        ("a 0\n", ("a",), 0),
        ("ab 1\n", ("a",), None),
        ("", ("a",), None),
        ('{"a": 1}', ("a",), None),
    ],
)
def test_a_number_is_the_sum_of_the_first_source_that_the_page_has(
    page: str, sources: tuple[str, ...], value: float | None
) -> None:
    assert running(page, *sources) == value


def test_ranks_that_tell_of_the_same_requests_count_once() -> None:
    page = 'a{dp="0",tp="0"} 3\na{dp="0",tp="1"} 3\na{dp="1",tp="0"} 4\na{dp="1",tp="1"} 5\n'
    assert running(page, "a", copies=("tp",)) == 8
    assert running(page, "a") == 15


@pytest.mark.parametrize(
    ("page", "ratio"), [("a 0.25\n", 0.25), ('a{e="0"} 0.25\na{e="1"} 0.75\n', 0.5), ("a 1.5\n", 1), ("a -1\n", 0)]
)
def test_the_use_of_the_cache_is_the_mean_of_its_parts_from_0_to_1(page: str, ratio: float) -> None:
    assert told(page, MetricMap(kv_cache_usage_ratio=("a",))) == {"kv_cache_usage_ratio": ratio}


def test_histograms_of_parts_are_added_up() -> None:
    page = BUCKETS.replace("N", "1") + BUCKETS.replace("N", "2")
    assert told(page, MetricMap(time_to_first_token_seconds=("h",))) == {
        'time_to_first_token_seconds_bucket,le="1.0"': 4,
        'time_to_first_token_seconds_bucket,le="+Inf"': 6,
        "time_to_first_token_seconds_count": 6,
        "time_to_first_token_seconds_sum": 8,
    }


def test_a_bound_that_one_part_lacks_is_left_out() -> None:
    page = BUCKETS.replace("N", "1") + 'h_bucket{p="2",le="2"} 1\nh_bucket{p="2",le="+Inf"} 5\nh_sum{p="2"} 9\n'
    assert told(page, MetricMap(inter_token_latency_seconds=("h",))) == {
        'inter_token_latency_seconds_bucket,le="+Inf"': 8,
        "inter_token_latency_seconds_count": 8,
        "inter_token_latency_seconds_sum": 13,
    }


@pytest.mark.parametrize("page", ["h 3\n", 'h_bucket{le="1"} 2\n', 'h_bucket{le="x"} 2\n', "h_count 3\nh_sum 4\n"])
def test_a_histogram_without_all_its_requests_is_none(page: str) -> None:
    assert told(page, MetricMap(time_to_first_token_seconds=("h",))) == {}


def test_gauges_that_vanish_are_absent_and_the_counters_stay() -> None:
    """vLLM 0.30 with more than one API server."""
    page = without(VLLM_PAGE, "num_requests_", "cache_usage_perc")
    assert told(VLLM_PAGE, VLLM).keys() - told(page, VLLM).keys() == {
        "requests_running",
        "requests_waiting",
        "kv_cache_usage_ratio",
    }


def test_a_version_with_the_former_names_tells_the_same() -> None:
    newer = ("vllm:kv_cache_usage", "vllm:prefix_cache", "vllm:inter_token_latency")
    by_former, by_newer = told(without(VLLM_PAGE, *newer), VLLM), told(VLLM_PAGE, VLLM)
    assert by_former.keys() == by_newer.keys()
    differing = {name for name, value in by_former.items() if value != by_newer[name]}
    assert all(name.startswith("inter_token_latency_seconds") for name in differing), "made up for each name apart"


def test_an_unknown_engine_tells_nothing_in_common() -> None:
    assert told(VLLM_PAGE, MetricMap()) == {}


def test_every_common_metric_has_its_words() -> None:
    names = {each for each in MetricMap.__dataclass_fields__ if each != "copies"}
    assert {name.removeprefix("rayfleet_engine_") for name in common_names()} == names
    assert all(common_names().values())


@pytest.mark.parametrize("metrics", [VLLM, LLAMACPP, SGLANG, TRTLLM, MetricMap()])
def test_a_map_travels_as_one_flag(metrics: MetricMap) -> None:
    assert decode_metric_map(encode_metric_map(metrics)) == metrics
    assert "$(" not in encode_metric_map(metrics), "a kubelet would replace it"


def test_a_map_of_a_newer_controller_is_read_as_far_as_it_is_known() -> None:
    assert decode_metric_map('{"requests_running":["a"],"later":3}') == MetricMap(requests_running=("a",))


@pytest.mark.parametrize("text", ["[]", "{", '{"copies": "a"}', '{"requests_running": [1]}', '"a"'])
def test_a_map_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        decode_metric_map(text)


def test_the_map_of_an_engine_is_had_by_its_name() -> None:
    assert known_map("vllm") == VLLM
    assert known_map("llamacpp") == LLAMACPP
    assert known_map("sglang") == SGLANG
    assert known_map("trtllm") == TRTLLM
    assert known_map("nobody's") == MetricMap()
