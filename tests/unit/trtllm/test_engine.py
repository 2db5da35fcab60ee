"""TensorRT-LLM as data: one node without Ray, several on Ray alone, what it refuses."""

import shlex
from dataclasses import replace

import pytest

from rayfleet.model.engine import EngineCommand, EngineProbe
from rayfleet.model.ports import ENGINE_PORT
from rayfleet.model.serving import Backend, NodeResources, Parallelism, Serving
from rayfleet_trtllm.engine import TrtLlm
from rayfleet_trtllm.images import IMAGE, image_facts
from rayfleet_trtllm.metrics import METRICS, METRICS_PATH
from rayfleet_trtllm.reading import TrtLlmReader

ONE = Serving(
    engine="trtllm",
    model="/models/m",
    served_model_name="m",
    parallelism=Parallelism(tensor=8),
    resources=NodeResources(accelerators=8),
)
TWO = replace(ONE, nodes=2, parallelism=Parallelism(tensor=8, pipeline=2))
WITH_RAY = "mine/trtllm-ray:1"


def command(given: Serving) -> list[str]:
    script = TrtLlm().launch_plan(given).head.script
    return shlex.split(next(line for line in script.splitlines() if "exec trtllm-serve" in line))[1:]


def test_one_node_needs_no_ray() -> None:
    assert TrtLlm().problems(ONE) == ()
    assert TrtLlm().launch_plan(ONE).backend is Backend.MP
    assert command(ONE) == [
        *("trtllm-serve", "/models/m", "--host", "$POD_IP", "--port", "8000"),
        *("--served_model_name", "m", "--tp_size", "8", "--pp_size", "1"),
    ]


def test_several_nodes_are_spanned_by_ray() -> None:
    given = replace(TWO, image=WITH_RAY)
    assert TrtLlm().problems(given) == ()
    assert command(given)[6:8] == ["--extra_llm_api_options", "$options"]
    assert "orchestrator_type: ray" in TrtLlm().launch_plan(given).head.script


@pytest.mark.parametrize(
    ("given", "path", "words"),
    [
        (TWO, "spec.serving.backend", "for which pods have no launcher"),
        (replace(TWO, image=WITH_RAY, backend=Backend.MP), "spec.serving.backend", "spans 2 nodes by MPI"),
        (replace(TWO, backend=Backend.RAY), "spec.serving.backend", f"ray, but {IMAGE} ships no Ray"),
        (
            replace(ONE, resources=NodeResources(), parallelism=Parallelism()),
            "spec.serving.resources.accelerators",
            "GPUs",
        ),
        (replace(ONE, arguments=("--tp_size=4",)), "spec.serving.args[0]", "(--tp_size) is set by rayfleet"),
        (replace(TWO, image=WITH_RAY, arguments=("--config", "x")), "spec.serving.args[0]", "is rayfleet's on Ray"),
    ],
)
def test_what_cannot_be_is_said_with_its_field(given: Serving, path: str, words: str) -> None:
    (problem,) = TrtLlm().problems(given)
    assert problem.path == path
    assert words in problem.message


def test_images_have_facts_and_command_lines_are_read() -> None:
    facts = image_facts("nvcr.io/nvidia/tensorrt-llm/release:1.2.0")
    assert facts is not None
    assert [risk.partition(":")[0] for risk in facts.risks] == ["CVE-2026-24227", "CVE-2026-65119"]
    read = TrtLlmReader().read(["trtllm-serve", "m", "--tp_size", "4", "--pp_size=2"])
    probe = EngineProbe(port=ENGINE_PORT, metrics_path=METRICS_PATH)
    assert read == EngineCommand(engine="trtllm", model="m", tensor=4, pipeline=2, probe=probe, metrics=METRICS)
    assert TrtLlmReader().read(["trtllm-bench"]) is None
