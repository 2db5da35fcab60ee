"""The benchmark's report: goals are judged as they are meant, and the page keeps what is not the run's."""

from pathlib import Path

import pytest
from tests.bench.report import (
    AIOHTTP,
    CHUNK,
    DIRECT,
    ENVOY,
    ONE,
    OURS,
    VLLM_ROUTER,
    Figure,
    Figures,
    goals,
    plot,
    rendered,
    write,
)


def figures(ours: float = 100.0) -> Figures:
    made = Figures()
    for row, cpu_us, rate, p50 in (
        (DIRECT, 5.0, 90_000.0, 20.0),
        (AIOHTTP, 200.0, 4_000.0, 400.0),
        (OURS, ours, 8_000.0, 200.0),
        (ENVOY, 60.0, 12_000.0, 100.0),
        (VLLM_ROUTER, 70.0, 12_000.0, 100.0),
    ):
        for title in ("330 B", CHUNK, ONE):
            made.add(row, title, Figure(cpu_us=cpu_us, per_second=rate, p50_us=p50))
    return made


def test_goals_are_ratios_of_one_run() -> None:
    values = {goal.text: goal.value for goal in goals(figures())}
    assert values["CPU per 330 B request / plain aiohttp"] == 0.5
    assert values["CPU per chunk / Envoy"] == pytest.approx(100 / 60)
    assert values["ms of p50 added at one connection"] == pytest.approx(0.18)
    assert values["requests/s / plain aiohttp"] == 2.0
    assert values["ms p99 of a change beside 1,000 models"] is None


def test_a_goal_is_held_or_missed_or_not_measured() -> None:
    lines = {line.split(" | ")[0]: line for line in rendered(figures(), "").splitlines()}
    assert "held" in lines["| CPU per 330 B request / plain aiohttp"]
    assert "missed" in lines["| CPU per chunk / Envoy"]
    assert "held" in lines["| requests/s / plain aiohttp"], "the only one that is a floor"
    alone = Figures()
    alone.add(OURS, "330 B", Figure(cpu_us=1.0, per_second=1.0, p50_us=1.0))
    assert rendered(alone, "").count("not measured") == len(goals(alone))


def test_a_peer_that_is_not_there_is_named_with_its_reason() -> None:
    made = figures()
    made.absent["LiteLLM"] = "no wheel"
    made.faults[ENVOY, "10 MB"] = "no answer but 413"
    text = rendered(made, "")
    assert "LiteLLM is not measured: no wheel" in text
    assert "Envoy, 10 MB: no answer but 413" in text


def test_a_run_replaces_its_own_part_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text("before\n<!-- gateway: begin -->\nold\n<!-- gateway: end -->\nafter\n", encoding="utf-8")
    for text in ("one", "two"):
        write(figures(), text, page)
    written = page.read_text(encoding="utf-8")
    assert written.startswith("before\n<!-- gateway: begin -->\n\ntwo\n")
    assert written.endswith("<!-- gateway: end -->\nafter\n")
    assert "old" not in written
    assert sorted(path.name for path in (tmp_path / "benchmarks").iterdir()) == ["chunks.svg", "requests.svg"]


def test_a_bar_beyond_three_times_ours_is_cut_and_keeps_its_number() -> None:
    picture = plot("t", [(OURS, 100.0), ("slow", 16_000.0), ("near", 250.0)])
    assert "16000.0 (cut)" in picture
    assert ">250.0<" in picture
