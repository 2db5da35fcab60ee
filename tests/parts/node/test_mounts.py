"""A container's own mounts, and why it ended in its own words: real processes, mounts where this user may."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from rayfleet.local.node.environments import CannotConfigure
from rayfleet.local.node.messages import end_message
from rayfleet.local.node.mounts import BindMount, can_mount
from rayfleet.local.node.processes import Children, ContainerCommand
from rayfleet.local.node.users import User
from rayfleet.local.node.volume_files import bind_mounts, remove_volumes
from rayfleet.local.node.volumes import NodeVolume, VolumeFile, VolumeMount
from rayfleet.objects.volumes import message_place

POD = Path("pod")
FALLS_BACK = message_place({"terminationMessagePolicy": "FallbackToLogsOnError"})


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def mount(volume: NodeVolume, target: Path, sub_path: str = "", *, is_read_only: bool = False) -> VolumeMount:
    return VolumeMount(volume=volume, target=str(target), sub_path=sub_path, is_read_only=is_read_only)


def ran(folder: Path, script: str, *mounts: BindMount, user: User | None = None) -> tuple[int | None, str]:
    """Return the exit code and the log of a process with these mounts."""
    log = folder / "0.log"
    command = ContainerCommand(
        words=["/bin/sh", "-c", script],
        environment={"PATH": os.environ["PATH"]},
        folder=Path("/"),
        log_path=log,
        user=user,
        mounts=mounts,
    )

    async def run() -> int | None:
        return await Children().start(command).wait()

    return asyncio.run(run()), log.read_text(encoding="utf-8")


def test_a_process_has_its_mounts_alone(tmp_path: Path, reachable: Path) -> None:
    """Others see the empty mount point; what is read-only cannot be written; a mount may lie in another."""
    outer, inner = reachable / "outer", reachable / "outer" / "inner"
    config = NodeVolume(name="config", files=(VolumeFile(path="start.sh", content=b"echo started", mode=0o644),))
    volumes = [mount(NodeVolume(name="data"), outer), mount(config, inner, is_read_only=True)]
    mounts = bind_mounts(volumes, tmp_path / POD, group=None)
    script = f"sh {inner}/start.sh && echo kept > {outer}/said && ! touch {inner}/x && id -u"
    if not can_mount():
        with pytest.raises(OSError, match="its log says why"):
            ran(tmp_path, script, *mounts)
        return
    code, log = ran(tmp_path, script, *mounts, user=User(uid=1234, gid=1234))
    assert (code, log.splitlines()[0], log.splitlines()[-1]) == (0, "started", "1234"), log
    assert (tmp_path / POD / ".volumes" / "data" / "said").read_text() == "kept\n"
    assert list(outer.iterdir()) == []
    remove_volumes(tmp_path / POD)
    assert list((tmp_path / POD).iterdir()) == []


def test_a_volume_is_kept_between_runs_and_shown_files_are_renewed(tmp_path: Path) -> None:
    def made(content: bytes) -> tuple[Path, Path]:
        shown = NodeVolume(name="c", files=(VolumeFile(path="d/f", content=content, mode=0o400),))
        mounts = [mount(NodeVolume(name="e"), Path("/e")), mount(shown, Path("/c"))]
        one, other = bind_mounts(mounts, tmp_path, group=os.getgid())
        return one.source, other.source

    kept, shown = made(b"1")
    (kept / "mine").write_bytes(b"x")
    kept, shown = made(b"2")
    assert (kept / "mine").exists()
    assert (shown / "d" / "f").read_bytes() == b"2"
    assert (shown / "d" / "f").stat().st_mode & 0o777 == 0o440  # the pod's group may read it


def test_a_part_of_a_volume_is_made_where_it_may_be(tmp_path: Path) -> None:
    [part] = bind_mounts([mount(NodeVolume(name="e"), Path("/e"), "a/b")], tmp_path, group=None)
    assert part.source.is_dir()
    shown = NodeVolume(name="c", files=())
    with pytest.raises(CannotConfigure, match="there is no 'a' in it"):
        bind_mounts([mount(shown, Path("/c"), "a")], tmp_path, group=None)
    absent = NodeVolume(name="h", host_path=str(tmp_path / "absent"))
    with pytest.raises(CannotConfigure, match="does not exist on this machine"):
        bind_mounts([mount(absent, Path("/h"))], tmp_path, group=None)


def test_a_path_of_the_host_at_itself_is_there_or_made_and_mounted_only_to_keep_it(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    own = NodeVolume(name="h", host_path=str(path))
    with pytest.raises(CannotConfigure, match="does not exist on this machine"):
        bind_mounts([mount(own, path)], tmp_path, group=None)
    made = NodeVolume(name="h", host_path=str(path), makes_host_path=True)
    assert bind_mounts([mount(made, path)], tmp_path, group=None) == ()
    assert path.is_dir()
    [kept] = bind_mounts([mount(own, path, is_read_only=True)], tmp_path, group=None)
    assert (kept.source, kept.target, kept.is_read_only) == (path, path, True)


@pytest.mark.parametrize(
    ("written", "logged", "code", "message"),
    [
        ("why", "log", 1, "why"),
        ("", "a\nb\n", 1, "a\nb\n"),
        ("", "a\nb\n", None, "a\nb\n"),
        ("", "log", 0, ""),
        ("x" * 5000, "", 0, "x" * 4096),
        ("", "n\n" * 100, 1, "n\n" * 80),
        ("", "y" * 3000, 1, "y" * 2048),
    ],
)
def test_an_end_is_explained_by_the_container(
    tmp_path: Path, written: str, logged: str, code: int | None, message: str
) -> None:
    file, log = tmp_path / "message", tmp_path / "0.log"
    file.write_text(written)
    log.write_text(logged)
    assert end_message(FALLS_BACK, file, log, code) == message
    assert end_message(message_place({}), file, log, code) == (message if written else "")
    assert end_message(FALLS_BACK, tmp_path / "absent", tmp_path / "absent", 1) == ""
