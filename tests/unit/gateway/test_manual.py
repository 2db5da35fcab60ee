"""The gateway's README names every metric that there is, and no other."""

import re
from pathlib import Path

from rayfleet_gateway.model.values import Result
from rayfleet_gateway.telemetry import Telemetry

README = Path(__file__).parents[3] / "gateway" / "README.md"


def test_the_readme_names_the_metrics_and_results() -> None:
    text = README.read_text(encoding="utf-8")
    described = set(re.findall(r"`(rayfleet_gateway_\w+)\{", text))
    declared = {
        f"{metric.name}_total" if metric.type == "counter" else metric.name for metric in Telemetry().registry.collect()
    }
    assert described == declared
    assert all(result.value in text for result in Result)
