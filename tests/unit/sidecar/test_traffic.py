"""What an engine's metrics tell of its requests (rayfleet_sidecar.traffic), on recorded and on changed pages."""

from datetime import timedelta
from pathlib import Path

import pytest

from rayfleet.model.engine import TrafficMetrics
from rayfleet_llamacpp.page import TRAFFIC as LLAMACPP
from rayfleet_llamacpp.page import ServerTraffic, traffic_page
from rayfleet_sidecar.traffic import Traffic, Watched, read_traffic, stalled_for, watched
from rayfleet_vllm.engine import TRAFFIC as VLLM

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
    assert traffic.in_flight == 5


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
