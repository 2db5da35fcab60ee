"""What the frame does with each thing that an engine may give it; what it does for every engine is in the suite."""

import os
import re
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from rayfleet.model.engine import NodeLaunch
from rayfleet.plugin.frame import END_SECONDS, HEAD_SECONDS, Frame, alone_launch, head_launch, worker_launch
from rayfleet.testing.launching import Image, real
from rayfleet.testing.suites.engine.tested import DEAF, no_waiting, slept
from rayfleet.testing.waiting import wait_until

SLEEP = real("sleep")
STAYS = f"exec {SLEEP} 60"
NOTES = 'echo "$*" >$0.words; touch $0.started'
FRAME = Frame(command="engine", programs=("engine",), way_out="Take another.")
BESIDE = replace(FRAME, companions={"first": 'first "$word"', "second one": "second"}, definitions="word='a word'")

BRINGS = replace(FRAME, bring="bring some-model", command='engine "$model"')


@pytest.fixture
def image(tmp_path: Path) -> Image:
    made = Image(folder=tmp_path)
    for name in ("ray", "engine", "first", "second"):
        made.add(name, f"{NOTES}; {STAYS}")
    made.add("bring", f"{NOTES}; echo /cache/the-model")
    return made


def words(image: Image, program: str) -> str:
    image.wait_for(f"bin/{program}.started")
    return image.wait_for(f"bin/{program}.words").strip()


def is_started(image: Image, program: str) -> bool:
    return (image.folder / "bin" / f"{program}.started").exists()


def test_what_runs_before_the_engine_runs_in_its_process(image: Image) -> None:
    image.add("engine", f'echo "$BASHPID $WORD $*" >engine.words; touch bin/engine.started; {STAYS}')
    frame = replace(FRAME, before="export WORD=early\necho $BASHPID >before.pid", command="engine one two")
    with image.running(head_launch(frame, {})):
        image.wait_for("bin/engine.started")
    assert image.wait_for("engine.words").split() == [image.wait_for("before.pid").strip(), "early", "one", "two"]


def test_an_engine_whose_preparation_fails_is_not_started(image: Image) -> None:
    with image.running(head_launch(replace(FRAME, before="false || exit 7"), {})) as script:
        assert script.ended().status == 7
    assert not is_started(image, "engine")


def test_a_head_ends_at_sigterm_while_it_prepares_with_all_that_it_began(image: Image) -> None:
    with image.running(head_launch(replace(FRAME, before=f"touch preparing; {SLEEP} 60"), {})) as script:
        image.wait_for("preparing")
        script.terminate()
        assert script.ended().status == 0
    assert not is_started(image, "engine")


def test_companions_run_beside_the_engine_and_know_the_definitions(image: Image) -> None:
    with image.running(head_launch(BESIDE, {})) as script:
        assert words(image, "first") == "a word"
        assert words(image, "second") == ""
        words(image, "engine")
        script.terminate()
        assert script.ended().status == 0


@pytest.mark.parametrize(("program", "name"), [("first", "first"), ("second", "second one")])
def test_a_head_ends_with_any_of_its_companions(image: Image, program: str, name: str) -> None:
    image.add(program, f"until [ -e bin/engine.started ]; do {SLEEP} 0.02; done")
    with image.running(head_launch(BESIDE, {})) as script:
        ended = script.ended()
    assert ended.status == 1
    assert f"the {name} ended; ending the engine" in ended.output


LINKED = replace(FRAME, beside_worker='second "$word"', definitions="word='a word'")


@pytest.mark.parametrize("dies", ["ray", "second"])
def test_what_runs_beside_a_worker_ends_with_it_and_it_with_that(image: Image, dies: str) -> None:
    image.add(dies, f"echo $BASHPID >dies.pid; {NOTES}; {STAYS}")
    with image.running(worker_launch(LINKED, {})) as script:
        assert words(image, "second") == "a word"
        words(image, "ray")
        os.kill(int(image.wait_for("dies.pid")), signal.SIGKILL)
        assert script.ended().status == 1


def test_a_companion_that_hangs_does_not_outlive_the_head(image: Image) -> None:
    image.add("first", DEAF)
    image.add("engine", f"until [ -e deaf ]; do {SLEEP} 0.02; done; exit 4")
    no_waiting(image)
    with image.running(head_launch(BESIDE, {})) as script:
        assert script.ended().status == 4


def test_a_model_is_brought_before_the_engine_starts(image: Image) -> None:
    with image.running(head_launch(BRINGS, {})):
        assert words(image, "engine") == "/cache/the-model"
    assert words(image, "bring") == "some-model"


def test_a_worker_has_the_model_before_it_joins(image: Image) -> None:
    image.add("bring", f"[ -e bin/ray.started ] || touch early; {NOTES}")
    with image.running(worker_launch(BRINGS, {})) as script:
        words(image, "ray")
        assert is_started(image, "bring")
        assert (image.folder / "early").exists()
        script.terminate()
        assert script.ended().status == 0


def test_without_the_model_nothing_starts(image: Image) -> None:
    image.add("bring", "exit 3")
    with image.running(head_launch(BRINGS, {})) as script:
        assert script.ended().status == 1
    assert not is_started(image, "engine")
    (image.folder / "bin" / "ray.started").unlink(missing_ok=True)
    with image.running(worker_launch(BRINGS, {})) as script:
        ended = script.ended()
    assert ended.status == 1
    assert "the model could not be brought here" in ended.output
    assert not is_started(image, "ray")


@pytest.mark.parametrize("launch", [head_launch(BRINGS, {}), worker_launch(BRINGS, {})], ids=["head", "worker"])
def test_sigterm_is_heard_while_a_model_is_brought(image: Image, launch: NodeLaunch) -> None:
    image.add("bring", f"{NOTES}; {SLEEP} 60")
    with image.running(launch) as script:
        words(image, "bring")
        script.terminate()
        assert script.ended().status == 0
    assert not is_started(image, "engine")


@pytest.mark.parametrize(("drain", "limit"), [(0, END_SECONDS), (0.5, END_SECONDS + 1), (30, END_SECONDS + 30)])
def test_an_engine_is_killed_when_it_outlives_its_drain(image: Image, drain: float, limit: float) -> None:
    image.add("engine", DEAF)
    no_waiting(image)
    with image.running(head_launch(replace(FRAME, drain_seconds=drain), {})) as script:
        image.wait_for("deaf")
        script.terminate()
        ended = script.ended()
    assert ended.status == 0
    assert f"the engine did not end within {limit} s; killing it" in ended.output
    assert limit in slept(image)


@pytest.mark.parametrize(
    ("program", "launch"),
    [
        ("engine", head_launch(FRAME, {})),
        ("engine", alone_launch(replace(FRAME, part="some"))),
        ("ray", worker_launch(FRAME, {})),
    ],
    ids=["head", "without Ray", "worker"],
)
def test_a_frozen_process_is_killed_and_its_stack_told(image: Image, program: str, launch: NodeLaunch) -> None:
    image.add("py-spy", 'echo "stack of $*"')
    image.add(program, f'{SLEEP} 60 & echo $! >rank.pid; touch rank; wait "$!"; exit 6')
    with image.running(launch) as script:
        image.wait_for("rank")
        rank = int(image.wait_for("rank.pid"))
        comm = Path(f"/proc/{rank}/comm")
        wait_until(comm.read_text, "it is no longer what it was forked from", 30, holds=lambda name: name == "sleep\n")
        os.kill(rank, signal.SIGSTOP)
        ended = script.ended()
    assert f"process {rank} (sleep) stands still" in ended.output
    assert f"stack of dump --nonblocking --pid {rank}" in ended.output
    assert ended.status == (1 if program == "ray" else 6)


@pytest.mark.parametrize("launch", [head_launch(FRAME, {}), worker_launch(FRAME, {})], ids=["head", "worker"])
def test_ray_is_ended_when_its_raylet_ended_before_it_had_joined(image: Image, launch: NodeLaunch) -> None:
    """Ray's start command takes no note of that for two minutes: it is a zombie."""
    image.add("raylet", f"{SLEEP} 1; exit 1")  # not before its parent is what it is to be, which takes no note
    image.add("agent", STAYS)
    image.add("ray", f"agent & raylet & exec {SLEEP} 60")
    with image.running(launch) as script:
        ended = script.ended()
    assert "Ray's raylet ended" in ended.output
    assert ended.status == 1


def test_a_raylet_whose_end_is_seen_is_rays_own_affair(image: Image) -> None:
    image.add("raylet", "exit 1")
    image.add("ray", f"raylet & wait $!; touch seen; {SLEEP} 5; exit 0")
    with image.running(worker_launch(FRAME, {})) as script:
        image.wait_for("seen")
        ended = script.ended()
    assert "raylet ended" not in ended.output
    assert ended.status == 1


@pytest.mark.parametrize("part", ["par", ""])
def test_a_worker_ends_with_a_part_of_the_engine(image: Image, part: str) -> None:
    image.add("part", f"{SLEEP} 4")
    image.add("ray", f"part & exec {SLEEP} 8")
    with image.running(worker_launch(replace(FRAME, part=part), {})) as script:
        ended = script.ended()
    assert ended.status == 1
    assert ("a part of the engine, ended" in ended.output) == bool(part)


def test_a_worker_that_was_asked_to_end_ends_well_whatever_ends_meanwhile(image: Image) -> None:
    image.add("part", f"touch begun; exec {SLEEP} 60")
    image.add("ray", "part & child=$!; trap 'kill $child' TERM; wait; exit 3")
    with image.running(worker_launch(replace(FRAME, part="par"), {})) as script:
        image.wait_for("begun")
        script.terminate()
        assert script.ended().status == 0


def test_an_engine_that_was_asked_to_end_outlives_what_runs_beside_it(image: Image) -> None:
    """As ranks do that end before clients have the last of their answers, and with them the watch over them."""
    image.add("first", f"until [ -e asked ]; do {SLEEP} 0.02; done")
    image.add(
        "engine", f"trap 'touch asked; {SLEEP} 5; touch told; exit 0' TERM; touch begun; while :; do {SLEEP} 0.1; done"
    )
    with image.running(alone_launch(replace(FRAME, companions={"first": "first"}, drain_seconds=20))) as script:
        image.wait_for("begun")
        script.terminate()
        ended = script.ended()
    assert ended.status == 0
    assert (image.folder / "told").exists()
    assert "the first ended" not in ended.output


@pytest.mark.parametrize("part", ["par", ""])
def test_a_part_of_the_engine_that_ends_ends_all_of_it(image: Image, part: str) -> None:
    """Here nobody takes note of its end, as an engine that is busy with other things: it is a zombie."""
    image.add("part", f"{SLEEP} 4")
    image.add("engine", f"part & exec {SLEEP} 8")
    with image.running(alone_launch(replace(FRAME, part=part))) as script:
        ended = script.ended()
    assert ("a part of the engine, ended" in ended.output) == bool(part)
    assert ("the engine ended (0)" in ended.output) != bool(part)
    assert ended.status == 1


def test_what_a_part_of_the_engine_forks_may_end(image: Image) -> None:
    image.add("part", f"({SLEEP} 3; :) & wait $!; {SLEEP} 0.5; touch over; exec {SLEEP} 60")
    image.add("engine", f"part & {SLEEP} 60")
    with image.running(alone_launch(replace(FRAME, part="par"))) as script:
        image.wait_for("over")
        script.terminate()
        ended = script.ended()
    assert "a part of the engine" not in ended.output
    assert ended.status == 0


def test_a_stopped_process_that_is_not_the_containers_is_let_alone(image: Image) -> None:
    with subprocess.Popen([SLEEP, "60"]) as other:
        os.kill(other.pid, signal.SIGSTOP)
        image.add("engine", f"{SLEEP} 5")
        with image.running(head_launch(FRAME, {})) as script:
            assert "stands still" not in script.ended().output
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize("limit", [4, HEAD_SECONDS])
def test_a_worker_bears_a_dead_head_for_its_limit(image: Image, limit: int) -> None:
    no_waiting(image)
    with image.running(worker_launch(replace(FRAME, head_seconds=limit), {})) as script:
        ended = script.ended()
    assert f"no Ray head at 127.0.0.1:1 for {limit} s" in ended.output
    assert slept(image).count(2) == limit // 2 - 1


def test_a_program_that_the_image_lacks_is_named_with_the_way_out(image: Image) -> None:
    image.take("engine")
    with image.running(head_launch(FRAME, {})) as script:
        assert script.ended().output == "rayfleet: this image has no 'engine'. Take another.\n"


@pytest.mark.parametrize("frame", [FRAME, BESIDE, BRINGS], ids=["bare", "beside", "brings"])
def test_every_script_is_bash_that_kubernetes_leaves_as_it_is(frame: Frame) -> None:
    for launch in (head_launch(frame, {}), worker_launch(frame, {})):
        subprocess.run(["/bin/bash", "-n", "-c", launch.script], check=True, timeout=10)
        assert re.findall(r"\$\$|\$\(\w+\)", launch.script) == []


def test_an_engine_adds_to_the_environment_that_all_have() -> None:
    frame = replace(FRAME, environment={"OWN": "1", "RAY_gcs_rpc_server_reconnect_timeout_s": "20"})
    for launch in (head_launch(frame, {"num-gpus": "1"}), worker_launch(frame, {"num-gpus": "1"})):
        assert launch.environment == {
            "RAY_gcs_rpc_server_reconnect_timeout_s": "20",
            "RAY_raylet_liveness_self_check_interval_ms": "3000",
            "RAY_raylet_start_wait_time_s": "120",
            "OWN": "1",
        }
        assert launch.ray_start_params == {"num-gpus": "1"}
