"""Dashboards and alerts, asked of a real Prometheus that has scraped the whole run: no query is dead.

After the file with the deeds: what they did is in the series. A client goes on asking meanwhile, so that rates have
something to show also where this file runs alone.
"""

import json
import math
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kubernetes.clients import asking
from tests.kubernetes.installation import NAMESPACE, in_namespace
from tests.kubernetes.prometheus import Prometheus

from rayfleet.deploy.extras import DASHBOARDS
from rayfleet.model.json import Json
from rayfleet.testing.kubectl import Kubectl
from rayfleet.testing.realkube import default_cache
from rayfleet.testing.realkube.files import Progress
from rayfleet.testing.realnode.prometheus import ensure_prometheus
from rayfleet.testing.waiting import wait_until

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(5400)]

LIMIT_SECONDS = 120.0
SELECTOR = re.compile(r"(rayfleet_\w+)(\{[^}]*\})?")
IN_A_RUN_WITH_FAILURES = re.compile(r'^rayfleet_gateway_requests_total\{result=~"[^"]*"\}$')
"""A model's results have series once they are met: here none is, unless a killed engine had a stream."""


@pytest.fixture(scope="module", autouse=True)
def asked(installed: Kubectl, fleet: str, prometheus: Prometheus) -> Iterator[None]:
    """Requests come as long as the tests of this file ask."""
    with asking(installed, fleet) as client:
        yield
    assert client.failures == []


def test_prometheus_gets_every_page_that_the_monitors_name(prometheus: Prometheus, fleet: str, tell: Progress) -> None:
    def down() -> list[str]:
        targets: list[Json] = prometheus.asked("targets", state="active")["of"]["activeTargets"]
        found = {(each["labels"]["namespace"], each["labels"]["pod"].rsplit("-", 2)[0]) for each in targets}
        wanted = {(NAMESPACE, "rayfleet-controller"), (NAMESPACE, "rayfleet-gateway")}
        lacking = [f"{namespace}/{pod}" for namespace, pod in wanted - found]
        lacking += [] if any(namespace == "default" for namespace, _ in found) else ["engines"]
        return lacking + [f"{each['scrapeUrl']}: {each['lastError']}" for each in targets if each["health"] != "up"]

    wait_until(down, "every target is up", LIMIT_SECONDS, holds=lambda left: not left, every=1.0)
    urls = [each["metric"]["instance"] for each in prometheus.query("up == 1")]
    tell(f"Prometheus scrapes {', '.join(sorted(urls))}")
    assert {each["metric"]["namespace"] for each in prometheus.query("rayfleet_fleet_desired_replicas")} == {"default"}


def test_every_panel_shows_data(installed: Kubectl, prometheus: Prometheus, tell: Progress) -> None:
    panels = dict(_panels(installed))
    dead = dict(panels)
    assert len(panels) >= 30

    def still_dead() -> list[str]:
        for place, query in list(dead.items()):
            if _has_data(prometheus.query(query)):
                del dead[place]
        return list(dead)

    wait_until(still_dead, "every panel shows data", LIMIT_SECONDS, holds=lambda left: not left, every=2.0)
    tell(f"{len(panels)} queries of panels have data")


def test_every_variable_of_a_dashboard_has_values(installed: Kubectl, prometheus: Prometheus) -> None:
    asked_for = [
        re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"])
        for name in DASHBOARDS
        for variable in _dashboard(installed, name)["templating"]["list"]
        if variable["type"] == "query"
    ]
    assert len(asked_for) >= len(DASHBOARDS)
    for match in asked_for:
        assert match is not None
        values = prometheus.asked(f"label/{match[2]}/values", **{"match[]": _of_all(match[1])})["of"]
        assert values, match[0]


def test_every_alert_is_evaluated_on_series_that_there_are(prometheus: Prometheus, tmp_path: Path) -> None:
    groups: list[Json] = prometheus.asked("rules")["of"]["groups"]
    rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert rules.keys() == {rule["alert"] for group in prometheus.rules["groups"] for rule in group["rules"]}
    assert {name: rule.get("lastError", "") for name, rule in rules.items() if rule["health"] != "ok"} == {}
    selectors = {match[0] for rule in rules.values() for match in SELECTOR.finditer(rule["query"])}
    names = {SELECTOR.sub(r"\1", each) if IN_A_RUN_WITH_FAILURES.match(each) else each for each in selectors}
    assert [each for each in sorted(names) if not prometheus.query(f"count({each})")] == []
    critical = [name for name, rule in rules.items() if rule["labels"]["severity"] == "critical"]
    assert [name for name in critical if rules[name]["state"] == "firing"] == []
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(prometheus.rules), encoding="utf-8")
    promtool = ensure_prometheus(default_cache(), progress=print).promtool
    check = [str(promtool), "check", "rules", "--lint-fatal", str(file)]
    done = subprocess.run(check, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _panels(kubectl: Kubectl) -> Iterator[tuple[str, str]]:
    for name in DASHBOARDS:
        for panel in _dashboard(kubectl, name)["panels"]:
            for index, target in enumerate(panel["targets"]):
                yield f"{name}: {panel['title']} {index}", _of_all(target["expr"])


def _dashboard(kubectl: Kubectl, name: str) -> Json:
    config_map = in_namespace(kubectl).object("get", "configmap", f"rayfleet-dashboard-{name}")
    board: Json = json.loads(config_map["data"][f"rayfleet-{name}.json"])
    return board


def _of_all(query: str) -> str:
    """Return a query as Grafana asks it where each variable has the value All."""
    return re.sub(r"\$\w+", ".*", query)


def _has_data(found: list[Json]) -> bool:
    return any(not math.isnan(float(each["value"][1])) for each in found)
