"""The Helm chart is what the declaration makes; what an installation comes to: ``NAME.in.yaml`` to ``NAME.out.yaml``.

``make golden`` writes the chart and the profiles anew.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayfleet.deploy.extras import DASHBOARDS, RULES_FILE, dashboard_file
from rayfleet.deploy.install import CHART, chart_files, install_objects

FOLDER = Path(__file__).parent / "install"
PROFILES = sorted(path.name.removesuffix(".in.yaml") for path in FOLDER.glob("*.in.yaml"))
REWRITES = os.environ.get("RAYFLEET_GOLDEN") == "rewrite"
FILES = chart_files()


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_chart_is_what_the_declaration_makes(name: str) -> None:
    path = CHART / name
    if REWRITES:
        path.parent.mkdir(exist_ok=True)
        path.write_text(FILES[name], encoding="utf-8")
    assert path.read_text(encoding="utf-8") == FILES[name]


def test_no_file_of_the_chart_is_left_over() -> None:
    files = {str(path.relative_to(CHART)) for path in CHART.rglob("*") if path.is_file()}
    assert files == {*FILES, *map(dashboard_file, DASHBOARDS), RULES_FILE}


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_becomes_these_objects(profile: str) -> None:
    given: dict[str, Any] = yaml.safe_load((FOLDER / f"{profile}.in.yaml").read_text(encoding="utf-8")) or {}
    objects = [each for each in install_objects(given) if each["kind"] != "CustomResourceDefinition"]
    for each in objects:  # the files of dashboards and rules are goldens themselves
        if each["kind"] == "ConfigMap":
            each["data"] = dict.fromkeys(each["data"], "...")
        if each["kind"] == "PrometheusRule":
            each["spec"] = "..."
    text = yaml.safe_dump_all(objects, sort_keys=False, width=120)
    path = FOLDER / f"{profile}.out.yaml"
    if REWRITES:
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text
