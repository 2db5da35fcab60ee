"""What the sidecar says itself on its metrics page (rayfleet_sidecar.metrics.own_families)."""

from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rayfleet.plugin.metric_families import PageForm, rendering
from rayfleet.plugin.metric_page import finished
from rayfleet_sidecar.metrics.engine_page import PageState
from rayfleet_sidecar.metrics.own_families import PageReport, judge_families, page_families
from rayfleet_sidecar.observation import ReadinessRules
from rayfleet_sidecar.readiness import Moment, first_judgement, verdict_of
from rayfleet_sidecar.testing import HandClock

REPORT = PageReport(
    state=PageState.PARTLY,
    size_bytes=1234,
    seconds=0.12345,
    broken_lines=2,
    common=(("requests_running", True), ("requests_waiting", False)),
)


def _samples(
    now: Moment, engine: str = "vllm", in_flight: int | None = 5, report: PageReport = REPORT
) -> dict[tuple[str, ...], float]:
    generations = {"ok": 3, "failed": 1}
    verdict = verdict_of(first_judgement(HandClock()()), ReadinessRules(), HandClock()())
    judge = SimpleNamespace(verdict=lambda: verdict, transitions=4, errors=2, generations=generations)
    own = (*judge_families(judge, engine, now), *page_families(report, engine, in_flight))
    families = text_string_to_metric_families(finished(rendering(own, PageForm.CLASSIC)))
    return {
        (sample.name.removeprefix("rayfleet_sidecar_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_own_page_tells_the_judgement_and_the_counts() -> None:
    now = HandClock()
    now.advance(1.2345)
    samples = _samples(now())
    assert samples["engine_ready", "vllm"] == 0
    assert samples["engine_state", "vllm", "EngineStarting"] == 1
    assert samples["engine_state", "vllm", "Ready"] == 0
    assert samples["state_seconds", "vllm"] == pytest.approx(1.234, abs=0.001)
    assert samples["transitions_total", "vllm"] == 4
    assert samples["judge_errors_total", "vllm"] == 2
    assert samples["rayfleet_requests_in_flight", "vllm"] == 5
    assert (samples["generations_total", "vllm", "ok"], samples["generations_total", "vllm", "failed"]) == (3, 1)


def test_the_own_page_tells_what_became_of_the_engines() -> None:
    samples = _samples(HandClock()())
    assert samples["engine_page_up", "vllm"] == 1
    states = {key[2]: value for key, value in samples.items() if key[0] == "engine_page_state"}
    assert states == {state: state is PageState.PARTLY for state in PageState}
    assert (samples["engine_page_bytes", "vllm"], samples["engine_page_broken_lines", "vllm"]) == (1234, 2)
    assert samples["engine_page_seconds", "vllm"] == pytest.approx(0.1235, abs=1e-4)
    assert samples["common_metric_up", "vllm", "requests_running"] == 1
    assert samples["common_metric_up", "vllm", "requests_waiting"] == 0


@pytest.mark.parametrize("state", PageState)
def test_a_page_is_up_when_any_of_it_follows(state: PageState) -> None:
    samples = _samples(HandClock()(), report=PageReport(state=state))
    assert samples["engine_page_up", "vllm"] == (state in {PageState.OK, PageState.PARTLY})


def test_requests_that_cannot_be_told_are_not_on_the_page() -> None:
    assert not any("in_flight" in key[0] for key in _samples(HandClock()(), in_flight=None))


def test_an_engines_name_with_marks_of_the_format_stays_one_name() -> None:
    assert ("engine_ready", 'a"b\\c') in _samples(HandClock()(), engine='a"b\\c')
