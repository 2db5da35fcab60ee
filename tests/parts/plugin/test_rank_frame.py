"""Nodes without Ray, run: they start together, and the end of one is the end of all."""

import itertools
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rayfleet.plugin.frame import Frame
from rayfleet.plugin.rank_frame import rank_launches
from rayfleet.testing.launching import Image, Running, real
from rayfleet.testing.waiting import wait_until

STAYS = f"exec {real('sleep')} 60"
FRAME = Frame(command='engine "$head_address" "$rendezvous"', programs=("engine", "python3"), way_out="Take another.")
LAUNCHES = rank_launches([FRAME, FRAME])
PLACES = itertools.count(1)


class Nodes:
    """Two nodes of one replica at addresses of their own; each has an image of its own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        place = f"127.{100 + os.getpid() % 100}.{os.getpid() // 100 % 250}"
        count = next(PLACES) * 2
        self.addresses = [f"{place}.{count + rank}" for rank in (0, 1)]
        self.images = [self._image(folder / f"rank-{rank}", self.addresses[rank]) for rank in (0, 1)]
        self._stack = stack

    def start(self, rank: int) -> Running:
        head = f"{self.addresses[0] if rank else '127.0.0.1'}:6379"
        return self._stack.enter_context(self.images[rank].running(LAUNCHES[rank], head=head))

    @staticmethod
    def _image(folder: Path, address: str) -> Image:
        folder.mkdir()
        image = Image(folder=folder, variables={"POD_IP": address})
        image.add("engine", f'echo "$@" >engine.words; echo $BASHPID >engine.pid; touch engine.started; {STAYS}')
        image.add("python3", f'exec {shlex.quote(sys.executable)} "$@"')
        return image


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    with ExitStack() as stack:
        yield Nodes(tmp_path, stack)


def test_engines_start_together_and_meet_at_the_head(nodes: Nodes) -> None:
    scripts = [nodes.start(0), nodes.start(1)]
    words = [image.wait_for("engine.started") or image.wait_for("engine.words").split() for image in nodes.images]
    assert words == [[nodes.addresses[0], "6379"]] * 2
    scripts[0].terminate()
    assert scripts[0].ended().status == 0
    assert "is lost" in scripts[1].ended().output, "without its head a rank is nothing"


def test_a_head_alone_starts_no_engine(nodes: Nodes) -> None:
    script = nodes.start(0)
    wait_until(script.output.read_text, "it waits", holds=lambda text: "1 of 2 ranks are ready; waiting" in text)
    assert not (nodes.images[0].folder / "engine.started").exists()
    script.terminate()
    assert script.ended().status == 0


def test_the_loss_of_a_rank_ends_its_head(nodes: Nodes) -> None:
    scripts = [nodes.start(0), nodes.start(1)]
    for image in nodes.images:
        image.wait_for("engine.started")
    subprocess.run(["kill", "-KILL", nodes.images[1].wait_for("engine.pid").strip()], check=True)
    assert scripts[1].ended().status == 137
    ended = scripts[0].ended()
    assert ended.status == 1
    assert f"rank 1 ({nodes.addresses[1]}) is lost" in ended.output


def test_kuberays_wait_for_ray_is_over_at_once_in_an_image_without_it() -> None:
    assert "BASH_FUNC_ray%%" not in LAUNCHES[0].environment, "only workers wait"
    environment = {"PATH": "/nowhere", **LAUNCHES[1].environment}
    bash = shutil.which("bash") or "bash"
    wait = "until ray health-check --address head:6379 >/dev/null 2>&1; do exit 3; done; ray status 2>/dev/null"
    for flags in (["-c", "--"], ["-lc", "--"]):
        done = subprocess.run([bash, *flags, wait], env=environment, timeout=30, check=False)
        assert done.returncode == 127, "the health check is well, everything else is the image's"
