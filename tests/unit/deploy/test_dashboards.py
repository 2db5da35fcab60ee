"""Dashboards and alerts ask for series that our pages export, and for labels that these have: no query is dead.

Controller and sidecar by their real pages, the controller's as it is while nothing goes wrong; the gateway by the table
of its manual, which a test of its own holds to its page. That a query is one at all, and of the right types, is said by
a parser of Prometheus' own grammar; what a real Prometheus answers is ``tests/kubernetes/test_the_panels.py``'s.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from promql_parser import parse

from rayfleet.deploy.extras import DASHBOARDS, RULES_FILE, dashboard_file
from rayfleet.deploy.install import CHART
from rayfleet.kube.store import Store
from rayfleet.model.resources import RAY_CLUSTERS
from rayfleet.planning.writes import Create
from rayfleet.plugin.metric_families import PageForm, rendering
from rayfleet.plugin.metric_page import finished
from rayfleet.reconciling.telemetry import Telemetry, absence_families, fleet_families, queue_families
from rayfleet_sidecar.metrics.engine_page import PageState
from rayfleet_sidecar.metrics.own_families import PageReport, judge_families, page_families
from rayfleet_sidecar.observation import ReadinessRules
from rayfleet_sidecar.readiness import first_judgement, verdict_of
from rayfleet_sidecar.testing import HandClock

ROOT = Path(__file__).parents[3]
GATEWAY = ROOT / "gateway" / "README.md"
OURS = re.compile(r"\brayfleet_\w+")
# Prometheus adds these to what a pod or Service monitor finds.
OF_TARGETS = {"namespace", "pod", "job", "instance"}
OF_HISTOGRAMS = re.compile(r"_(bucket|count|sum)$")
OF_GRAFANA = re.compile(r"\$__(rate_interval|interval|range)\b")
WORDS = {"le"}


def controller_series() -> Mapping[str, set[str]]:
    """Return the labels of each series of a controller that has met no failure."""
    telemetry, fleets, sets = Telemetry(), Store(), Store()
    telemetry.passed("fleet", 0.1, "ok")
    telemetry.wrote("fleet", Create(resource=RAY_CLUSTERS, manifest={}), None)
    meta = {"name": "a", "namespace": "n", "uid": "1", "resourceVersion": "1"}
    state = {"name": "r", "uid": "u", "phase": "Ready", "since": "2026-11-25T12:00:00Z"}
    status = {"replicaStates": [state]}
    fleets.put({"metadata": meta, "spec": {"replicas": 1}})
    sets.put({"metadata": meta, "status": status})
    telemetry.shows(lambda: queue_families({"fleet": 1}))
    telemetry.shows(lambda: absence_families([RAY_CLUSTERS], {}))
    telemetry.shows(lambda: fleet_families(fleets, sets))
    page = telemetry.page().decode()
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return {sample.name: set(sample.labels) for sample in samples if not sample.name.endswith("_created")}


def sidecar_series() -> Mapping[str, set[str]]:
    generations = {"ok": 1, "failed": 1}
    clock = HandClock()
    verdict = verdict_of(first_judgement(clock()), ReadinessRules(), clock())
    judge = SimpleNamespace(verdict=lambda: verdict, transitions=1, errors=1, generations=generations)
    report = PageReport(state=PageState.OK, common=(("running", True),))
    families = (*judge_families(judge, "vllm", clock()), *page_families(report, "vllm", 1))
    page = finished(rendering(families, PageForm.CLASSIC))
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return {sample.name: set(sample.labels) for sample in samples}


def gateway_series() -> Iterator[tuple[str, set[str]]]:
    text = GATEWAY.read_text(encoding="utf-8")
    for name, labels in re.findall(r"^\| `(rayfleet_\w+)(?:\{([\w,]+)\})?` \|", text, re.MULTILINE):
        yield name, set(labels.split(",")) - {""}
        if name.endswith("_seconds"):
            yield from ((f"{name}{end}", {*labels.split(","), "le"} - {""}) for end in ("_bucket", "_count", "_sum"))


def queries() -> Iterator[tuple[str, str]]:
    for name in DASHBOARDS:
        board: Any = json.loads((CHART / dashboard_file(name)).read_text(encoding="utf-8"))
        yield from (
            (f"{name}: {panel['title']}", target["expr"]) for panel in board["panels"] for target in panel["targets"]
        )
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                yield f"{name}: ${variable['name']}", variable["query"]
    for group in json.loads((CHART / RULES_FILE).read_text(encoding="utf-8")):
        yield from ((f"alert {rule['alert']}", rule["expr"]) for rule in group["rules"])


QUERIES = dict(queries())
SERIES = {**dict(gateway_series()), **sidecar_series(), **controller_series()}


@pytest.mark.parametrize("place", QUERIES)
def test_a_query_asks_for_series_that_there_are(place: str) -> None:
    names = set(OURS.findall(QUERIES[place]))
    assert names, "it asks for nothing of ours"
    assert names - SERIES.keys() == set()


@pytest.mark.parametrize("place", [place for place in QUERIES if ": $" not in place])
def test_prometheus_takes_a_query_and_the_types_in_it(place: str) -> None:
    """Grafana's functions for variables (``label_values``) are none of Prometheus'."""
    parse(OF_GRAFANA.sub("5m", QUERIES[place]))


@pytest.mark.parametrize("place", QUERIES)
def test_a_query_asks_for_labels_that_its_series_have(place: str) -> None:
    query = QUERIES[place]
    known = {label for name in OURS.findall(query) for label in SERIES[name]} | OF_TARGETS
    grouped = {label.strip() for labels in re.findall(r"\b(?:by|on) \(([^)]*)\)", query) for label in labels.split(",")}
    matched = {label for labels in re.findall(r"\{([^}]*)\}", query) for label in re.findall(r"(\w+)=", labels)}
    asked = re.findall(r"label_values\(.*, (\w+)\)$", query)
    assert {*grouped, *matched, *asked} - known == set()


def test_every_series_of_the_controller_is_in_the_manual_and_no_other() -> None:
    text = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    told = {
        name: set(labels.split(",")) - {""}
        for name, labels in re.findall(r"^\| `(rayfleet_\w+)(?:\{([\w,]+)\})?` \|", text, re.MULTILINE)
    }
    real = {OF_HISTOGRAMS.sub("", name): labels - WORDS for name, labels in controller_series().items()}
    assert told == real


def test_every_alert_has_its_place_in_the_manual() -> None:
    text = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    rules = [rule for group in json.loads((CHART / RULES_FILE).read_text(encoding="utf-8")) for rule in group["rules"]]
    assert len(rules) >= 8
    assert [rule["alert"] for rule in rules if f"### {rule['alert']}\n" not in text] == []
    assert {rule["annotations"]["runbook"] for rule in rules} == {
        f"docs/kubernetes.md#{rule['alert'].lower()}" for rule in rules
    }
