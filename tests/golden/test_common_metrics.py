"""The common metrics of every engine, from its recorded page: ``tests/data/PAGE.txt`` to ``metrics/PAGE.txt``."""

import os
from pathlib import Path

import pytest

from rayfleet.model.engine import MetricMap
from rayfleet.plugin.metric_families import PageForm, rendering
from rayfleet.plugin.metric_page import finished, read_metric_page
from rayfleet.testing.metric_pages import read_classic, read_open
from rayfleet_llamacpp.metrics import METRICS as LLAMACPP
from rayfleet_sglang.metrics import METRICS as SGLANG
from rayfleet_sidecar.metrics.common import common_families
from rayfleet_vllm.metrics import METRICS as VLLM

DATA = Path(__file__).parents[1] / "data"
FOLDER = Path(__file__).parent / "metrics"
REWRITES = os.environ.get("RAYFLEET_GOLDEN") == "rewrite"
PAGES = {
    "vllm-metrics": ("vllm", VLLM),
    "vllm-0.10-metrics": ("vllm", VLLM),
    "sglang-metrics": ("sglang", SGLANG),
    "llamacpp-metrics": ("llamacpp", LLAMACPP),
}


@pytest.mark.parametrize("name", PAGES)
def test_an_engine_tells_what_every_engine_tells(name: str) -> None:
    engine, metrics = PAGES[name]
    text = common(name, engine, metrics, PageForm.CLASSIC)
    path = FOLDER / f"{name}.txt"
    if REWRITES:
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_the_common_metrics_are_read_by_both_parsers_and_say_the_same(name: str) -> None:
    classic = read_classic(common(name, *PAGES[name], PageForm.CLASSIC))
    openly = read_open(common(name, *PAGES[name], PageForm.OPEN_METRICS))
    assert [(each.name, each.type, each.samples) for each in classic] == [
        (each.name, each.type, each.samples) for each in openly
    ]


def common(name: str, engine: str, metrics: MetricMap, form: PageForm) -> str:
    page = read_metric_page((DATA / f"{name}.txt").read_text(encoding="utf-8"))
    return finished(rendering(common_families(page.samples, metrics, engine), form))
