"""The sidecar's README tells its reasons and metrics, all of them and no others."""

import re
from pathlib import Path
from types import SimpleNamespace

from rayfleet_sidecar.duty import Leave
from rayfleet_sidecar.metrics.common import common_names
from rayfleet_sidecar.metrics.engine_page import PageState
from rayfleet_sidecar.metrics.own_families import PageReport, judge_families, page_families
from rayfleet_sidecar.observation import ReadinessRules
from rayfleet_sidecar.readiness import Reason, first_judgement, verdict_of
from rayfleet_sidecar.settings import SidecarSettings
from rayfleet_sidecar.stages import PATIENCE, StageName
from rayfleet_sidecar.testing import HandClock

README = Path(__file__).parents[3] / "runtime_sidecar" / "README.md"


def first_cells() -> set[str]:
    return set(re.findall(r"^\| `([^`]+)` \|", README.read_text(encoding="utf-8"), re.MULTILINE))


def test_every_reason_is_told() -> None:
    assert {cell for cell in first_cells() if cell[0].isupper()} == {*Reason, *Leave, *StageName}


def test_every_metric_is_told() -> None:
    now = HandClock()()
    verdict = verdict_of(first_judgement(now), ReadinessRules(), now)
    judge = SimpleNamespace(verdict=lambda: verdict, transitions=0, errors=0, generations={"ok": 0, "failed": 0})
    report = PageReport(state=PageState.OK, common=(("requests_running", True),))
    families = (*judge_families(judge, "vllm", now), *page_families(report, "vllm", 0))
    names = {family.name for family in families} | set(common_names())
    assert {cell for cell in first_cells() if cell.startswith("rayfleet_")} == names
    assert all(sample.labels.startswith('engine="vllm"') for family in families for sample in family.samples)


def test_every_state_of_the_engines_page_is_told() -> None:
    assert {cell for cell in first_cells() if cell in set(PageState)} == set(PageState)


def test_the_times_told_are_the_settings() -> None:
    settings, text = SidecarSettings(), README.read_text(encoding="utf-8")
    assert f"every {settings.judge_period.total_seconds()} s" in text
    assert f"ends after {settings.answer_limit.total_seconds():g} s" in text
    assert f"older than {settings.rules.stale_after.total_seconds():g} s" in text
    assert f"refused for {settings.rules.shortest_refusal.total_seconds():g} s at least" in text
    assert f"are read every {settings.traffic_period.total_seconds():g} s" in text
    assert f"no step for {settings.rules.stall_after.total_seconds():g} s" in text
    assert f"nothing to do for {settings.rules.canary_every.total_seconds():g} s" in text
    assert f"show for {settings.rules.canary_limit.total_seconds():g} s" in text
    for stage, span in PATIENCE.items():
        assert re.search(rf"^\| `{stage}` \| .*\| {span.total_seconds() / 60:g} min \|$", text, re.MULTILINE)
    assert f"After {settings.rules.suspicious_failures} generations" in text
    assert f"at most {settings.token_limit.total_seconds():g} s" in text
