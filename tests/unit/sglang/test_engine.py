"""SGLang as data: its images, its commands on Ray and without, what it refuses."""

import shlex
from dataclasses import replace

import pytest

from rayfleet.model.engine import EngineCommand, EngineProbe
from rayfleet.model.serving import Backend, NodeResources, Parallelism, Serving
from rayfleet_sglang.engine import Sglang
from rayfleet_sglang.images import IMAGE, image_facts
from rayfleet_sglang.metrics import HEALTH_PATH, METRICS, TRAFFIC
from rayfleet_sglang.reading import SglangReader


def sglang(port: int, tensor: int, pipeline: int = 1) -> EngineCommand:
    """Return what is read of a command of SGLang for the model ``m`` that says no more than these."""
    probe = EngineProbe(port=port, health_path=HEALTH_PATH, traffic=TRAFFIC)
    return EngineCommand(
        engine="sglang", model="m", tensor=tensor, pipeline=pipeline, port=port, probe=probe, metrics=METRICS
    )


def serving(backend: Backend = Backend.AUTO, nodes: int = 2, image: str = "", accelerators: int = 8) -> Serving:
    return Serving(
        engine="sglang",
        model="org/m",
        served_model_name="m",
        nodes=nodes,
        backend=backend,
        image=image,
        parallelism=Parallelism(tensor=(accelerators or 1) * nodes),
        resources=NodeResources(accelerators=accelerators),
    )


def commands(given: Serving) -> list[str]:
    plan = Sglang().launch_plan(given)
    scripts = [node.script for node in (plan.head, *plan.ranks)]
    return [
        " ".join(shlex.split(line)[4:]) for script in scripts for line in script.splitlines() if "exec sglang" in line
    ]


def test_every_node_has_its_rank_without_ray() -> None:
    assert Sglang().launch_plan(serving()).backend is Backend.MP
    address = "--host $POD_IP --port 8000 --enable-metrics"
    assert commands(serving()) == [
        f"org/m {address} --nnodes 2 --node-rank {rank} --dist-init-addr $head_address:$rendezvous"
        " --served-model-name m --tp-size 16 --pp-size 1"
        for rank in (0, 1)
    ]


def test_the_head_alone_runs_sglang_on_ray() -> None:
    (command,) = commands(serving(Backend.RAY, image="mine:1"))
    assert "--use-ray --nnodes 2 --served-model-name" in command


def test_one_node_is_told_of_no_other_and_no_accelerator_is_a_cpu() -> None:
    (command,) = commands(serving(nodes=1, accelerators=0))
    assert "--nnodes" not in command
    assert "--device cpu" in command


def test_it_sleeps_only_where_it_was_told_that_it_may() -> None:
    probe = Sglang().launch_plan(replace(serving(), arguments=("--enable-memory-saver",))).probe
    assert (probe.sleep_path, probe.wake_path) == ("/release_memory_occupation", "/resume_memory_occupation")
    assert Sglang().launch_plan(serving()).probe.sleep_path == ""


def test_ray_is_refused_in_an_image_that_lacks_it() -> None:
    (problem,) = Sglang().problems(serving(Backend.RAY))
    assert (problem.path, f"{IMAGE} ships no Ray" in problem.message) == ("spec.serving.backend", True)


def test_images_have_facts_and_holes_by_their_version() -> None:
    assert image_facts("mine:1") is None
    old, new = image_facts("lmsysorg/sglang:v0.5.20-cu130"), image_facts(IMAGE)
    assert old is not None
    assert new is not None
    assert [risk.partition(":")[0] for risk in old.risks] == ["CVE-2026-93034", "CVE-2026-112266"]
    assert new.risks == ()
    assert list(SglangReader().image_risks("lmsysorg/sglang:v0.5.20")) == list(old.risks)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("sglang serve --model-path m --tp 16 --port 9", sglang(9, tensor=16)),
        (
            "python3 -m sglang.launch_server --model-path=m --tp-size 2 --pp-size=2",
            sglang(30000, tensor=2, pipeline=2),
        ),
        ("sglang version", None),
        ("vllm serve m", None),
    ],
)
def test_command_lines_are_read(line: str, command: EngineCommand | None) -> None:
    assert SglangReader().read(line.split()) == command
