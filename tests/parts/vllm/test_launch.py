"""What vLLM itself adds to the frame: the observer, the wait for all nodes, the model, and its own address."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from rayfleet.model.serving import Parallelism, Serving
from rayfleet.testing.launching import POD_IP, Image, real
from rayfleet_vllm.engine import Vllm

STAYS = f"exec {real('sleep')} 60"
# Stands for the observer's three uses, for the look at how a model may be split, and for the fetching of one. Its first
# word is a program of many lines, and the shell writes them one by one: a mark says when all are there.
PYTHON = f"""
case "$1 ${{3:-}}" in
  "-c serve") echo "$@" >observer.words; : >observer.noted
    until [ -e observer.end ]; do {real("sleep")} 0.05; done; exit 5 ;;
  "-c link") echo "$@" >link.words; : >link.noted; exec {real("sleep")} 60 ;;
  "-c wait") echo "$@" >wait.words; until [ -e nodes ]; do {real("sleep")} 0.05; done; exit "$(cat nodes)" ;;
  "-c splits") exit 0 ;;
  *) echo "$*" >fetch.words; [ ! -e fetch.fails ] || exit 1; [ ! -e fetch.hangs ] || {real("sleep")} 60
     echo /cache/the-model ;;
esac
"""
VLLM = f'printf "%s\\n" "$@" >vllm.words; echo "$VLLM_HOST_IP" >vllm.host; touch vllm.noted; {STAYS}'


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """Return vLLM's image; all nodes are there at once."""
    made = Image(folder=tmp_path)
    programs: Mapping[str, str] = {"ray": f"touch ray.started; {STAYS}", "vllm": VLLM, "python3": PYTHON}
    for name, text in programs.items():
        made.add(name, text)
    (tmp_path / "nodes").write_text("0")
    return made


def serving(model: str = "org/name") -> Serving:
    return Serving(
        engine="vllm",
        model=model,
        served_model_name="m",
        nodes=2,
        image="rayfleet.local/vllm-cpu",
        parallelism=Parallelism(pipeline=2),
        arguments=("--note", "it's {here}"),
    )


PLAN = Vllm().launch_plan(serving())
FETCHED = Vllm().launch_plan(serving("pypi:x"))


def test_a_head_gives_vllm_the_model_its_address_and_the_arguments(image: Image) -> None:
    with image.running(PLAN.head):
        image.wait_for("vllm.noted")
        image.wait_for("observer.noted")
    observed = image.wait_for("observer.words").strip()
    words = image.wait_for("vllm.words").splitlines()
    assert words[:6] == ["serve", "org/name", "--host", POD_IP, "--port", "8000"]
    assert words[-2:] == ["--note", "it's {here}"]
    assert image.wait_for("vllm.host").strip() == POD_IP
    assert image.wait_for("wait.words").strip().endswith(f"wait {POD_IP} 8081 2 600")
    assert observed.endswith(f"serve {POD_IP} 8081 2")
    assert not (image.folder / "fetch.words").exists()


def test_workers_have_an_address_of_their_own_too() -> None:
    assert PLAN.worker.environment["VLLM_HOST_IP"] == "$(POD_IP)"


def test_a_worker_holds_a_link_to_its_head_from_its_own_address(image: Image) -> None:
    with image.running(PLAN.worker, head="127.0.0.9:6379"):
        image.wait_for("link.noted")
    assert image.wait_for("link.words").strip().endswith(f"link 127.0.0.9 8081 {POD_IP}")


def test_a_head_brings_a_model_with_a_scheme(image: Image) -> None:
    with image.running(FETCHED.head):
        image.wait_for("vllm.noted")
    assert image.wait_for("fetch.words").strip() == "-m rayfleet_models fetch pypi:x --format huggingface"
    assert image.wait_for("vllm.words").splitlines()[:2] == ["serve", "/cache/the-model"]


def test_a_worker_brings_the_model_too(image: Image) -> None:
    with image.running(FETCHED.worker):
        image.wait_for("ray.started")
    assert image.wait_for("fetch.words").strip() == "-m rayfleet_models fetch pypi:x --format huggingface"


def test_a_head_ends_when_too_few_nodes_came(image: Image) -> None:
    (image.folder / "nodes").write_text("1")
    with image.running(PLAN.head) as script:
        assert script.ended().status == 1
    assert not (image.folder / "vllm.noted").exists()


def test_a_head_leaves_at_sigterm_while_it_waits_for_nodes(image: Image) -> None:
    (image.folder / "nodes").unlink()
    with image.running(PLAN.head) as script:
        image.wait_for("wait.words")
        script.terminate()
        assert script.ended().status == 0


def test_a_head_ends_when_the_observer_ends(image: Image) -> None:
    with image.running(PLAN.head) as script:
        image.wait_for("vllm.noted")
        (image.folder / "observer.end").touch()
        ended = script.ended()
    assert ended.status == 1
    assert "the observer of Ray's nodes ended" in ended.output


def test_an_image_without_ray_is_told_why(image: Image) -> None:
    image.take("ray")
    with image.running(PLAN.head) as script:
        ended = script.ended()
    assert "this image has no 'ray'. vLLM spans nodes by Ray" in ended.output
    assert "ray==2.60.0" in ended.output
