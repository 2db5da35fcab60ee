"""Nodes that share one model, run: the head starts when every node lends its memory, and none outlives another."""

import itertools
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rayfleet.model.serving import Backend, Parallelism, Serving
from rayfleet.testing.launching import Image, Running, real
from rayfleet.testing.waiting import wait_until
from rayfleet_llamacpp.engine import LlamaCpp
from rayfleet_llamacpp.rpc_servers import main

STAYS = f"exec {real('sleep')} 60"
# Listens where it is told to, once the test lets it.
SERVER = """
echo $BASHPID >server.pid
until [ -e lends ]; do %s 0.05; done
exec python3 -c 'import socket, sys
with socket.create_server((sys.argv[2], int(sys.argv[4]))) as server:
    while True:
        server.accept()[0].close()' "$@"
"""
PLACES = itertools.count(1)
SERVING = Serving(
    engine="llamacpp",
    model="/models/m.gguf",
    served_model_name="m",
    nodes=2,
    backend=Backend.MP,
    parallelism=Parallelism(pipeline=2),
    image="registry.example/llama",
    arguments=("--ctx-size", "2048"),
)


class Nodes:
    """Two nodes at addresses of their own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        place = f"127.{100 + os.getpid() % 100}.{os.getpid() // 100 % 250}"
        count = next(PLACES) * 2
        self.addresses = [f"{place}.{200 + (count + rank) % 50}" for rank in (0, 1)]
        self.images = [_image(folder / f"rank-{rank}", self.addresses[rank]) for rank in (0, 1)]
        self._stack = stack

    def start(self, rank: int) -> Running:
        plan = LlamaCpp().launch_plan(SERVING)
        head = f"{self.addresses[0] if rank else '127.0.0.1'}:6379"
        launch = plan.ranks[0] if rank else plan.head
        return self._stack.enter_context(self.images[rank].running(launch, head=head))


def _image(folder: Path, address: str) -> Image:
    folder.mkdir()
    image = Image(folder=folder, variables={"POD_IP": address})
    image.add("llama-server", f"printf '%s\\n' \"$@\" >llama.words; touch llama.started; {STAYS}")
    image.add("ggml-rpc-server", SERVER % real("sleep"))
    image.add("python3", f'exec {shlex.quote(sys.executable)} "$@"')
    return image


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    with ExitStack() as stack:
        yield Nodes(tmp_path, stack)


def test_the_head_uses_the_servers_of_all_nodes_once_they_listen(nodes: Nodes) -> None:
    scripts = [nodes.start(0), nodes.start(1)]
    for image in nodes.images:
        image.wait_for("server.pid")
    (nodes.images[0].folder / "lends").touch()
    assert not (nodes.images[0].folder / "llama.started").exists(), "the other node does not lend yet"
    (nodes.images[1].folder / "lends").touch()
    nodes.images[0].wait_for("llama.started")
    words = nodes.images[0].wait_for("llama.words").splitlines()
    assert words == [
        *("--model", "/models/m.gguf", "--alias", "m", "--host", nodes.addresses[0], "--port", "8000", "--metrics"),
        *("--rpc", ",".join(f"{address}:50052" for address in sorted(nodes.addresses)), "--device", "RPC0,RPC1"),
        *("--n-gpu-layers", "all", "--fit", "off", "--ctx-size", "2048"),
    ]
    scripts[0].terminate()
    assert scripts[0].ended().status == 0


def test_the_loss_of_a_server_ends_every_node(nodes: Nodes) -> None:
    scripts = [nodes.start(0), nodes.start(1)]
    for image in nodes.images:
        (image.folder / "lends").touch()
    nodes.images[0].wait_for("llama.started")
    subprocess.run(["kill", "-KILL", nodes.images[1].wait_for("server.pid").strip()], check=True)
    assert scripts[1].ended().status == 137
    assert scripts[0].ended().status == 1


def test_a_server_that_does_not_come_ends_the_head_with_a_word(
    nodes: Nodes, capsys: pytest.CaptureFixture[str]
) -> None:
    head = nodes.start(0)
    text = head.output.read_text
    wait_until(text, "its watch answers", 20, holds=lambda text: "1 of 2 ranks are ready" in text)
    assert main([nodes.addresses[0], "8081", "50052", "2", "2", "0"]) == 1
    assert "0 of 2 servers listen after 0 s" in capsys.readouterr().err
