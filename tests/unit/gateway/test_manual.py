"""The gateway's README names every metric that there is, and no other."""

import re
from pathlib import Path

from rayfleet_gateway.model.values import Result
from rayfleet_gateway.telemetry.exposition import COUNTER, Family
from rayfleet_gateway.telemetry.families import Snapshot, families

README = Path(__file__).parents[3] / "gateway" / "README.md"


def test_the_readme_names_the_metrics_and_results() -> None:
    text = README.read_text(encoding="utf-8")
    described = re.findall(r"^\| `((?:rayfleet_gateway|gen_ai)_\w+(?:\{[a-z_,]+\})?)`", text, re.MULTILINE)
    declared = [_shown(family) for family in families(Snapshot())]
    assert sorted(described) == sorted(declared)
    assert all(result.value in text for result in Result)


def _shown(family: Family) -> str:
    """As the table writes it: ``name_total{label,label}``."""
    name = f"{family.name}_total" if family.kind == COUNTER else family.name
    labels = ",".join(family.labels)
    return f"{name}{{{labels}}}" if labels else name
