"""Slots, processes, shared memory, logs and clean-up on this very machine."""

import asyncio
import json
import os
import signal
import socket
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rayfleet.local.node.cleanup import cleanup, end_strangers, prune_pod_folders, release
from rayfleet.local.node.container_state import ContainerState, read_state, running_state, write_state
from rayfleet.local.node.folders import NodeFolders, pod_folder
from rayfleet.local.node.log_rotation import remove_old_runs, rotate_large_logs
from rayfleet.local.node.pod_note import PodNote, ray_cluster_key, read_note, write_note
from rayfleet.local.node.processes import MARK, STATE_MARK, Children, ContainerCommand, ContainerProcess, end_marked
from rayfleet.local.node.settings import node_folders
from rayfleet.local.node.shared_memory import remove_orphaned_segments
from rayfleet.local.node.slots import FIRST_PORT, SLOTS, Slot, Slots
from rayfleet.model.errors import EnvironmentProblem
from rayfleet.testing.waiting import until, wait_until

NOW = datetime.now(UTC)


@pytest.fixture
def folders(tmp_path: Path) -> NodeFolders:
    found = NodeFolders(state=tmp_path / "state", runtime=tmp_path / "run")
    found.pods.mkdir(parents=True)
    return found


def command(folder: Path, script: str, **environment: str) -> ContainerCommand:
    base = {"PATH": os.environ["PATH"], **environment}
    return ContainerCommand(
        words=["bash", "-c", script], environment=base, folder=folder, log_path=folder / "c" / "0.log"
    )


def is_program(process: ContainerProcess, name: str) -> bool:
    """Whether a shell has become its last command; a process that becomes another has no environment meanwhile."""
    folder = Path(f"/proc/{process.identity.pid}")
    return (folder / "cmdline").read_bytes().startswith(name.encode()) and bool((folder / "environ").read_bytes())


def test_slots_never_reach_the_ports_that_linux_hands_out() -> None:
    last = Slot(number=SLOTS - 1)
    assert last.first_port + 59 < 32768
    assert Slot(number=0).first_port == FIRST_PORT
    assert (Slot(number=0).address, Slot(number=250).address) == ("127.77.0.2", "127.77.1.2")


def test_a_pod_keeps_its_slot_and_others_get_others(folders: NodeFolders) -> None:
    slots, other = Slots(folders), Slots(NodeFolders(state=folders.pods, runtime=folders.runtime))
    first = slots.take("a")
    assert slots.take("a") == first
    assert other.take("a") != first  # the same uid in another cluster is another pod
    slots.give_back("a")
    assert slots.take("b") == first


def test_slots_of_a_removed_cluster_are_free_again(folders: NodeFolders, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    slot = Slots(NodeFolders(state=gone, runtime=folders.runtime)).take("a")
    gone.rmdir()
    assert Slots(folders).take("b") == slot


def test_a_slot_whose_port_or_address_is_in_use_is_passed_over(folders: NodeFolders) -> None:
    slots = Slots(folders)
    first = slots.take("a")
    slots.give_back("a")
    with socket.create_server(("127.0.0.1", first.first_port + 3)):
        second = slots.take("b")
        assert second != first
        slots.give_back("b")
        with socket.create_server((second.address, 0)):
            assert slots.take("c") not in (first, second)


def test_only_slots_of_the_living_stay(folders: NodeFolders) -> None:
    slots = Slots(folders)
    kept = slots.take("living")
    slots.take("dead")
    slots.give_back_all(besides={"living"})
    assert [json.loads(path.read_text())[1] for path in folders.slots.glob("[0-9]*")] == ["living"]
    assert slots.take("living") == kept


def test_a_runtime_folder_is_private_and_ones_own(folders: NodeFolders) -> None:
    folders.runtime.mkdir(mode=0o755)
    folders.make_runtime()
    assert folders.runtime.stat().st_mode & 0o777 == 0o700
    folders.runtime.rmdir()
    folders.runtime.symlink_to("/etc")
    with pytest.raises(EnvironmentProblem, match="belongs to somebody else"):
        folders.make_runtime()


def test_the_runtime_path_is_short_whatever_the_environment(tmp_path: Path) -> None:
    assert node_folders(tmp_path, {"XDG_RUNTIME_DIR": "/run/user/1000"}).runtime.parent == Path("/run/user/1000")
    long = node_folders(tmp_path, {"XDG_RUNTIME_DIR": "/a/very/long/path/for/a/socket"})
    assert "very" not in str(long.runtime)


async def test_exit_codes_and_signals_are_told_apart(tmp_path: Path) -> None:
    children = Children()
    assert await children.start(command(tmp_path, "exit 3")).wait() == 3
    process = children.start(command(tmp_path, "kill -9 $BASHPID"))
    assert await process.wait() == -9
    assert not process.is_alive


def test_a_program_that_is_absent_is_an_os_error(tmp_path: Path) -> None:
    absent = ContainerCommand(words=["no-such"], environment={}, folder=tmp_path, log_path=tmp_path / "log")
    with pytest.raises(OSError, match="no-such"):
        Children().start(absent)


async def test_a_process_of_an_earlier_node_ends_with_an_unknown_code(tmp_path: Path) -> None:
    own = Children().start(command(tmp_path, "sleep 60"))
    taken = ContainerProcess(own.identity)
    assert taken.is_alive
    os.kill(own.identity.pid, signal.SIGKILL)
    assert await taken.wait() is None
    assert await own.wait() == -9


async def test_a_first_process_with_a_handler_gets_sigterm_alone(tmp_path: Path) -> None:
    child = "bash -c 'trap \"echo child\" TERM; touch child; sleep 0.5'"
    both_trap = "trap 'wait; echo first; exit 0' TERM; until [ -e child ]; do sleep 0.01; done; touch ready"
    script = f"{child} & {both_trap}; wait"
    process = Children().start(command(tmp_path, script))
    await until((tmp_path / "ready").exists, "it is ready")
    await process.terminate(asyncio.get_running_loop().time() + 60)
    assert (tmp_path / "c" / "0.log").read_text() == "first\n"
    await process.wait()


async def test_a_shell_without_a_handler_passes_sigterm_to_its_engine(tmp_path: Path) -> None:
    script = "bash -c 'trap \"echo drained; exit\" TERM; touch ready; while :; do sleep 0.05; done'; echo never"
    process = Children().start(command(tmp_path, script))
    await until((tmp_path / "ready").exists, "it is ready")
    await process.terminate(asyncio.get_running_loop().time() + 60)
    lines = (tmp_path / "c" / "0.log").read_text().splitlines()
    assert "drained" in lines
    assert "never" not in lines
    await process.wait()


async def test_a_mark_finds_daemons_in_sessions_of_their_own(tmp_path: Path) -> None:
    mark = f"{tmp_path.name}/c"
    script = "setsid bash -c 'touch ready; sleep 60' & wait"
    process = Children().start(command(tmp_path, script, **{MARK: mark}))
    await until((tmp_path / "ready").exists, "it is ready")
    assert await end_marked(mark) >= 2
    assert await process.wait() == -9
    assert await end_marked(mark) == 0


def test_state_files_survive_and_tell_the_living(tmp_path: Path) -> None:
    started = Children().start(command(tmp_path, "sleep 60"))
    write_state(tmp_path, ContainerState(process=started.identity, restart_count=2, started_at=NOW))
    found = running_state(tmp_path)
    assert found == read_state(tmp_path)
    assert found is not None
    assert found.restart_count == 2
    os.kill(started.identity.pid, signal.SIGKILL)
    assert asyncio.run(started.wait()) == -9
    assert running_state(tmp_path) is None
    (tmp_path / "state.json").write_text("{")
    assert read_state(tmp_path) is None


def test_pods_of_one_ray_cluster_share_a_folder() -> None:
    owner = {"uid": "rc-1", "controller": True}

    def pod(uid: str, *owners: dict[str, object]) -> dict[str, object]:
        return {"metadata": {"uid": uid, "namespace": "n", "ownerReferences": list(owners)}}

    assert ray_cluster_key(pod("a", owner), "/s") == ray_cluster_key(pod("b", owner), "/s")
    assert ray_cluster_key(pod("a", owner), "/s") != ray_cluster_key(pod("a", owner), "/other")
    assert ray_cluster_key(pod("a"), "/s") != ray_cluster_key(pod("b"), "/s")


def test_the_last_pod_of_a_ray_cluster_removes_its_folder(folders: NodeFolders) -> None:
    temp = folders.ray_temp("ab12")
    (temp / "session").mkdir(parents=True)
    names = [pod_folder("n", "head", "u1"), pod_folder("n", "worker", "u2")]
    for name in names:
        write_note(folders.pods / name, PodNote(ray_cluster="ab12", started_at=NOW))
    release(folders, names[0])
    assert temp.exists()
    release(folders, names[1])
    assert not temp.exists()
    assert read_note(folders.pods / names[1]) is None


def test_processes_of_pods_that_are_gone_are_ended_and_others_are_not(folders: NodeFolders, tmp_path: Path) -> None:
    def start(uid: str) -> ContainerProcess:
        marks = {MARK: f"{uid}/c", STATE_MARK: str(folders.state)}
        process = Children().start(command(tmp_path, "sleep 60", **marks))
        wait_until(lambda: is_program(process, "sleep"), "it is what it is to be, with its environment")
        name = pod_folder("n", uid, uid)
        write_note(folders.pods / name, PodNote(ray_cluster="", started_at=NOW))
        write_state(
            folders.container(name, "c"), ContainerState(process=process.identity, restart_count=0, started_at=NOW)
        )
        return process

    living, dead = start("living"), start("dead")
    Slots(folders).take("dead")
    assert end_strangers(folders, {"living"}) == 1
    assert (living.is_alive, dead.is_alive) == (True, False)
    assert not list(folders.slots.glob("[0-9]*"))
    assert cleanup(folders.state, {"XDG_RUNTIME_DIR": "/nonexistent"}) == 1
    assert not living.is_alive
    for process in (living, dead):
        assert asyncio.run(process.wait()) == -9


def test_folders_of_the_longest_gone_pods_are_removed(folders: NodeFolders) -> None:
    for number in range(5):
        path = folders.pods / pod_folder("n", f"p{number}", f"u{number}")
        path.mkdir()
        os.utime(path, (number, number))
    assert prune_pod_folders(folders, {"u0"}, kept=2) == 2
    assert sorted(path.name for path in folders.pods.iterdir()) == ["n_p0_u0", "n_p3_u3", "n_p4_u4"]


def test_large_logs_are_rotated_in_place(tmp_path: Path) -> None:
    log = tmp_path / "pod" / "c" / "0.log"
    log.parent.mkdir(parents=True)
    with log.open("ab") as writer:
        for text in (b"one" * 10, b"two" * 10, b"three" * 10):
            writer.write(text)
            writer.flush()
            assert rotate_large_logs(tmp_path, limit_bytes=20) == 1
        writer.write(b"end")
        writer.flush()
        assert rotate_large_logs(tmp_path, limit_bytes=20) == 0
    assert log.read_bytes() == b"end"
    assert log.with_name("0.log.1").read_bytes() == b"three" * 10
    assert log.with_name("0.log.2").read_bytes() == b"two" * 10
    assert not log.with_name("0.log.3").exists()


def test_logs_of_old_runs_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "pod" / "c"
    folder.mkdir(parents=True)
    for run in range(12):
        (folder / f"{run}.log").touch()
    (folder / "1.log.1").touch()
    assert remove_old_runs(tmp_path, kept=3) == 9
    assert sorted(path.name for path in folder.iterdir()) == ["10.log", "11.log", "9.log"]


def test_only_orphaned_segments_of_the_pods_life_are_removed(tmp_path: Path) -> None:
    for name in ("29500-tp:0-0-1-cpushm_0", "__KMP_REGISTERED_LIB_1_0", "somebody-elses", "psm_open"):
        (tmp_path / name).touch()
    with (tmp_path / "psm_open").open():
        assert remove_orphaned_segments(tmp_path, since=NOW + timedelta(hours=1)) == ()
        removed = remove_orphaned_segments(tmp_path, since=NOW - timedelta(hours=1))
    assert removed == ("29500-tp:0-0-1-cpushm_0", "__KMP_REGISTERED_LIB_1_0")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["psm_open", "somebody-elses"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--accelerators", "gpu"], "error: --accelerators 'gpu' is not RESOURCE=N"),
        ([], "error: --kubeconfig is missing"),
    ],
)
async def test_wrong_flags_are_one_line_with_a_way_out(tmp_path: Path, flags: list[str], words: str) -> None:
    kubeconfig = ["--kubeconfig", "absent"] if flags else []
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rayfleet.local.node", "--state", str(tmp_path), *kubeconfig, *flags, stderr=-1
    )
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode().startswith(words)
