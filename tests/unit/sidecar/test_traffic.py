"""What an engine's metrics tell of its requests (rayfleet_sidecar.traffic), on recorded and on changed pages."""

from datetime import timedelta
from pathlib import Path

import pytest

from rayfleet.model.engine import TrafficMetrics
from rayfleet.plugin.metric_page import read_metric_page
from rayfleet_llamacpp.page import TRAFFIC as LLAMACPP
from rayfleet_llamacpp.page import ServerTraffic, traffic_page
from rayfleet_sglang.metrics import METRICS as SGLANG_MAP
from rayfleet_sglang.metrics import TRAFFIC as SGLANG
from rayfleet_sidecar.metrics.common import common_families
from rayfleet_sidecar.traffic import Traffic, Watched, read_traffic, stalled_for, watched
from rayfleet_vllm.metrics import TRAFFIC as VLLM

VLLM_PAGE = (Path(__file__).parents[2] / "data" / "vllm-metrics.txt").read_text(encoding="utf-8")
LABELS = 'engine="0",model_name="smollm2"'


def _seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def _vllm_page(running: int, waiting: int) -> str:
    page = VLLM_PAGE.replace(
        f"vllm:num_requests_running{{{LABELS}}} 0.0", f"vllm:num_requests_running{{{LABELS}}} {running}"
    )
    return page.replace(
        f"vllm:num_requests_waiting{{{LABELS}}} 0.0", f"vllm:num_requests_waiting{{{LABELS}}} {waiting}"
    )


def test_a_page_of_vllm_tells_its_requests_steps_and_answers() -> None:
    traffic = read_traffic(_vllm_page(3, 2), VLLM)
    assert traffic == Traffic(running={LABELS: 3}, steps={LABELS: 395 + 2697}, waiting=2, served=23, failed=0)
    assert traffic.on_page == 5


def test_a_page_of_the_llama_cpp_driver_tells_the_same() -> None:
    busy = ServerTraffic(index=0, running=3, read_slowly=1, steps=7)
    page = traffic_page((busy, ServerTraffic(index=1, steps=9)), {"ok": 4, "failed": 2})
    traffic = read_traffic(page, LLAMACPP)
    servers = 'server="0"', 'server="1"'
    assert traffic == Traffic(
        running=dict(zip(servers, (3, 0), strict=True)),
        steps=dict(zip(servers, (7, 9), strict=True)),
        waiting=1,
        served=4,
        failed=2,
    )


@pytest.mark.parametrize("page", ["", "vllm:num_requests_waiting 3\n", "<html>"])
def test_a_page_without_the_running_requests_tells_nothing(page: str) -> None:
    assert read_traffic(page, VLLM) is None


def test_only_samples_with_all_labels_of_a_series_count() -> None:
    metrics = TrafficMetrics(running=("r",), failed=('n{a="1",b="2"}',))
    page = 'r 0\nn{a="1",b="2",c="3"} 5\nn{b="2",a="1"} 7\nn{a="1"} 11\nn{a="12",b="2"} 13\nnn{a="1",b="2"} 17\n'
    traffic = read_traffic(page, metrics)
    assert traffic is not None
    assert traffic.failed == 12


SGLANG_PAGE = (Path(__file__).parents[2] / "data" / "sglang-metrics.txt").read_text(encoding="utf-8")


def test_requests_that_are_told_by_priority_and_by_each_rank_are_counted_once() -> None:
    """SGLang tells a total under the empty priority, and all of it once for each rank of a group."""
    traffic = read_traffic(SGLANG_PAGE, SGLANG, SGLANG_MAP.copies)
    assert traffic is not None
    assert {labels.partition(",")[0]: count for labels, count in traffic.running.items()} == {
        'dp_rank="0"': 3,
        'dp_rank="1"': 4,
    }
    common = {each.name: each for each in common_families(read_metric_page(SGLANG_PAGE).samples, SGLANG_MAP, "sglang")}
    in_flight = [common[f"rayfleet_engine_requests_{name}"].samples[0].value for name in ("running", "waiting")]
    assert traffic.on_page == sum(in_flight)


@pytest.mark.parametrize(
    ("page", "running"),
    [
        ('r{p=""} 3\nr{p="0"} 2\nr{p="10"} 1\n', 3),  # a total and its parts
        ('r{p="0"} 2\nr{p="10"} 1\n', 3),  # parts alone
        ('r{p="",q="a"} 3\nr{p="0",q="a"} 3\nr{p="0",q="b"} 4\n', 7),  # a total of some of them
        ('r{p="",q=""} 3\nr{p="0",q=""} 3\n', 3),
        ('r{q="a"} 3\nr{p="0",q="a"} 4\n', 7),  # another series, no total
        ('r{p="",rank="0"} 3\nr{p="",rank="1"} 3\nr{p="1",rank="1"} 3\n', 3),
        ('r{rank="0"} 3\nr{rank="1"} 2\n', 3),
        ("r 3\n", 3),
    ],
)
def test_a_total_is_never_counted_with_its_parts(page: str, running: int) -> None:
    traffic = read_traffic(page, TrafficMetrics(running=("r",)), ("rank",))
    assert traffic is not None
    assert traffic.on_page == running


def test_steps_that_are_told_in_finer_parts_are_those_of_their_part() -> None:
    """SGLang tells its tokens by what they were for, its requests are not."""
    metrics = TrafficMetrics(running=("r",), steps=("s_total",))

    def page(decoded: int) -> Traffic:
        steps = f's_total{{dp="0",mode="prefill"}} 9\ns_total{{dp="0",mode="decode"}} {decoded}\ns_total{{dp="1"}} 1\n'
        traffic = read_traffic(f'r{{dp="0"}} 1\nr{{dp="1"}} 0\n{steps}', metrics)
        assert traffic is not None
        return traffic

    assert stalled_for(_seen((0, page(1)), (50, page(1)))) == _seconds(50)
    assert stalled_for(_seen((0, page(1)), (50, page(2)))) == _seconds(0)


def _seen(*readings: tuple[float, Traffic]) -> Watched:
    seen = Watched()
    for seconds, traffic in readings:
        seen = watched(seen, traffic, _seconds(seconds))
    return seen


def _part(running: float, steps: float) -> Traffic:
    return Traffic(running={"a": running, "b": 0}, steps={"a": steps, "b": 1})


@pytest.mark.parametrize(
    ("readings", "seconds"),
    [
        ([(0, _part(1, 5))], 0),  # one reading shows no span
        ([(0, _part(1, 5)), (60, _part(1, 5))], 60),
        ([(0, _part(1, 5)), (60, _part(3, 5))], 60),  # more requests are no step
        ([(0, _part(1, 5)), (60, _part(1, 6))], 0),  # a step
        ([(0, _part(1, 5)), (60, _part(1, 6)), (90, _part(1, 6))], 30),
        ([(0, _part(1, 5)), (60, _part(1, 2)), (90, _part(1, 2))], 30),  # counted anew: another process
        ([(0, _part(1, 5)), (60, _part(0, 5)), (90, _part(0, 5))], 0),  # nothing to do
        ([(0, _part(1, 5)), (60, _part(0, 5)), (70, _part(1, 5)), (90, _part(1, 5))], 20),  # one that has just come
        ([(0, _part(0, 5))], 0),
        ([(0, Traffic(running={"a": 1})), (60, Traffic(running={"a": 1}))], 0),  # an engine that does not count steps
        ([], 0),
    ],
)
def test_a_stall_is_as_old_as_its_first_reading(readings: list[tuple[float, Traffic]], seconds: float) -> None:
    assert stalled_for(_seen(*readings)) == _seconds(seconds)


def _loaded(*readings: tuple[float, int, int, float]) -> Watched:
    """Return what readings show: their second, the port's load, how many of these are the sidecar's, the steps."""
    seen = Watched()
    for seconds, load, own, steps in readings:
        seen = watched(seen, Traffic(steps={"a": steps}, load=load), _seconds(seconds), own)
    return seen


@pytest.mark.parametrize(
    ("readings", "seconds"),
    [
        ([(0, 2, 1, 5), (60, 2, 1, 5)], 60),
        ([(0, 2, 1, 5), (60, 1, 0, 5), (70, 2, 1, 5)], 70),  # between two of the sidecar's questions
        ([(0, 1, 0, 5), (60, 1, 0, 5), (70, 2, 1, 5), (90, 2, 1, 5)], 20),  # its own question has to wait too
        ([(0, 1, 0, 5), (60, 1, 0, 5)], 0),
        ([(0, 1, 1, 5), (60, 1, 1, 5)], 0),  # it is alone
        ([(0, 2, 1, 5), (60, 1, 1, 5), (90, 1, 1, 5)], 0),  # it has become so
        ([(0, 2, 1, 5), (60, 2, 1, 6), (90, 2, 1, 6)], 30),
        ([(0, -1, 0, 5), (10, 1, 1, 5), (60, 1, 1, 5)], 50),  # it has lost count by one
        ([(0, -1, 0, 5), (10, 1, 1, 2), (60, 1, 1, 2)], 0),  # and is another process now
    ],
)
def test_requests_that_the_port_alone_knows_stand_still_beside_the_sidecars_own(
    readings: list[tuple[float, int, int, float]], seconds: float
) -> None:
    assert stalled_for(_loaded(*readings)) == _seconds(seconds)


@pytest.mark.parametrize(("load", "own", "in_flight"), [(0, 0, 2), (2, 0, 2), (5, 0, 5), (5, 1, 4), (-1, 0, 2)])
def test_requests_that_the_port_alone_knows_are_in_flight(load: int, own: int, in_flight: int) -> None:
    seen = watched(Watched(), Traffic(running={"a": 1}, waiting=1, load=load), _seconds(0), own)
    assert seen.in_flight == in_flight


def test_a_part_that_stands_still_is_seen_beside_one_that_works() -> None:
    def page(steps_of_b: float) -> Traffic:
        return Traffic(running={"a": 1, "b": 1}, steps={"a": 5, "b": steps_of_b})

    assert stalled_for(_seen((0, page(1)), (50, page(2)), (90, page(3)))) == _seconds(90)


@pytest.mark.parametrize(
    ("readings", "failures"),
    [
        ([(4, 9)], 0),  # what was before the first reading is no news
        ([(4, 9), (4, 11)], 2),
        ([(4, 9), (4, 11), (4, 12)], 3),
        ([(4, 9), (5, 11)], 0),  # one ended well meanwhile
        ([(4, 9), (4, 11), (5, 11), (5, 12)], 1),
        ([(4, 9), (4, 11), (0, 0)], 0),  # counted anew
        ([(0, 9), (0, 3), (0, 4)], 1),
    ],
)
def test_failures_are_those_since_a_generation_ended_well(readings: list[tuple[float, float]], failures: int) -> None:
    assert _seen(*((0, Traffic(served=served, failed=failed)) for served, failed in readings)).failures == failures
