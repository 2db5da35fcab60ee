"""The sidecar's metrics page (rayfleet_sidecar.pages)."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rayfleet_sidecar.pages import own_page, usable_page
from rayfleet_sidecar.readiness import Moment, first_judgement
from rayfleet_sidecar.testing import HandClock

DATA = Path(__file__).parents[2] / "data"


@pytest.mark.parametrize(
    ("page", "usable"),
    [
        ("a 1\n# EOF\n", "a 1\n"),
        ('# TYPE a:b counter\na:b{x="1 } y",z=""} 1.5e+09 1700000000\n', None),
        ("a NaN\na_bucket +Inf\na -Inf\n", None),
        ('{"running": 3}', ""),
        ("a 1\nb{x=", ""),
        ("rayfleet_sidecar_engine_ready 1\n", ""),
        ("rayfleet_requests_in_flight 1\n", ""),
        ("# TYPE rayfleet_sidecar_engine_ready gauge\n", ""),
        ("# HELP rayfleet_sidecar_engine_ready\n", ""),
        ("", ""),
    ],
)
def test_an_engines_page_follows_only_when_it_spoils_nothing(page: str, usable: str | None) -> None:
    assert usable_page(page) == (page if usable is None else usable)


@pytest.mark.parametrize("name", ["vllm-metrics.txt", "llamacpp-metrics.txt"])
def test_a_recorded_page_of_a_real_engine_is_usable(name: str) -> None:
    page = (DATA / name).read_text(encoding="utf-8")
    assert usable_page(page).count("\n") > 10


def _own_samples(now: Moment, engine: str = "vllm", in_flight: int | None = 5) -> dict[tuple[str, ...], float]:
    generations = {"ok": 3, "failed": 1}
    judge = SimpleNamespace(judgement=first_judgement(HandClock()()), transitions=4, errors=2, generations=generations)
    families = text_string_to_metric_families(own_page(judge, engine, now, has_engine_page=True, in_flight=in_flight))
    return {
        (sample.name.removeprefix("rayfleet_sidecar_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_own_page_tells_the_judgement_and_the_counts() -> None:
    now = HandClock()
    now.advance(1.2345)
    samples = _own_samples(now())
    assert samples["engine_ready", "vllm"] == 0
    assert samples["engine_state", "vllm", "EngineStarting"] == 1
    assert samples["engine_state", "vllm", "Ready"] == 0
    assert samples["state_seconds", "vllm"] == pytest.approx(1.234, abs=0.001)
    assert samples["transitions_total", "vllm"] == 4
    assert samples["judge_errors_total", "vllm"] == 2
    assert samples["engine_page_up", "vllm"] == 1
    assert samples["rayfleet_requests_in_flight", "vllm"] == 5
    assert (samples["generations_total", "vllm", "ok"], samples["generations_total", "vllm", "failed"]) == (3, 1)


def test_requests_that_cannot_be_told_are_not_on_the_page() -> None:
    assert not any("in_flight" in key[0] for key in _own_samples(HandClock()(), in_flight=None))


def test_an_engines_name_with_marks_of_the_format_stays_one_name() -> None:
    assert ("engine_ready", 'a"b\\c') in _own_samples(HandClock()(), engine='a"b\\c')
