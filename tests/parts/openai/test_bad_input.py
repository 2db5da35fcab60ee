"""Servers by command that go wrong: the script and the sidecar say which way, and no replica is called well for it.

The head's script is the real one, with a bash or Python text for the server; the sidecar's own client asks servers that
answer as no engine should.
"""

import asyncio
import os
import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from rayfleet.model.serving import Serving
from rayfleet.testing.launching import Image, Running, real
from rayfleet.testing.waiting import wait_until
from rayfleet_openai.engine import OpenAi
from rayfleet_sidecar.engine_client import EngineClient
from rayfleet_sidecar.observation import Answer
from rayfleet_sidecar.settings import SidecarSettings

STAYS = f"exec {real('sleep')} 60"
ADDRESS = f"127.{os.getpid() >> 8 & 127 | 64}.{os.getpid() & 255}.7"
BINDS = "import socket, sys; s = socket.create_server((sys.argv[1], int(sys.argv[2]))); print('bound', flush=True)"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextmanager
def head(folder: Path, server: str) -> Iterator[tuple[Image, Running]]:
    """Run the head's script with ``server``, a bash text, for the program; the image has none when it is empty."""
    serving = Serving(
        engine="openai",
        model="/models/none.gguf",
        served_model_name="name",
        image="registry.example/server:1",
        arguments=("server", "{host}", "{port}", "{model}"),
    )
    assert OpenAi().problems(serving) == ()
    folder.mkdir(exist_ok=True)
    image = Image(folder=folder)
    image.variables["POD_IP"] = ADDRESS
    image.add("ray", STAYS)
    if server:
        image.add("server", server)
    with image.running(OpenAi().launch_plan(serving).head) as script:
        yield image, script


def test_a_binary_that_is_missing_is_named_with_the_way_out(tmp_path: Path) -> None:
    with head(tmp_path, "") as (_, script):
        ended = script.ended()
    assert ended.status == 1
    assert "this image has no 'server'" in ended.output
    assert "spec.serving.image" in ended.output


def test_a_port_that_is_taken_ends_the_container_with_the_servers_own_words(tmp_path: Path) -> None:
    python = shlex.join((sys.executable, "-S", "-c", f"{BINDS}; s.accept()"))
    with head(tmp_path / "first", f'exec {python} "$@"') as (image, _):
        output = image.folder / "output.txt"
        wait_until(lambda: "bound" in output.read_text(), "the first server has its port", 60)
        with head(tmp_path / "second", f'exec {python} "$@"') as (_, script):
            ended = script.ended()
    assert ended.status == 1
    assert "Address already in use" in ended.output
    assert "the engine ended (1)" in ended.output


@pytest.mark.parametrize("state", ["missing", "corrupt"])
def test_a_model_that_cannot_be_loaded_ends_the_container_with_the_servers_status(state: str, tmp_path: Path) -> None:
    server = f"""echo "failed to load $3: the file is {state}" >&2; exit 4"""
    with head(tmp_path, server) as (_, script):
        ended = script.ended()
    assert ended.status == 4
    assert f"failed to load /models/none.gguf: the file is {state}" in ended.output
    assert "the engine ended (4)" in ended.output


def test_a_model_that_is_too_big_for_the_memory_is_told_by_the_signal_of_its_server(tmp_path: Path) -> None:
    """The kernel ends the largest process of the pod, without a word of it; the kubelet adds ``OOMKilled``."""
    with head(tmp_path, "kill -9 $$") as (_, script):
        ended = script.ended()
    assert ended.status == 128 + 9
    assert "the engine ended (137)" in ended.output


def test_a_server_that_ends_in_a_loop_is_started_anew_each_time_and_leaves_nothing(tmp_path: Path) -> None:
    """A kubelet backs off between lives; each of them tells its status, and ``ended`` that nothing outlived it."""
    for life in (1, 2, 3):
        with head(tmp_path, "echo life >>lives; exit 9") as (_, script):
            assert script.ended().status == 9, life
    assert (tmp_path / "lives").read_text().split() == ["life"] * 3


async def hangs(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    return web.Response()


def saying(text: str, status: int = 200) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status)

    return handler


@asynccontextmanager
async def client(health: Handler, completions: Handler = hangs) -> AsyncIterator[EngineClient]:
    """Give the sidecar's client of a server with these answers; one that hangs is not waited for."""
    application = web.Application()
    application.add_routes([web.get("/health", health), web.post("/v1/completions", completions)])
    server = TestServer(application, handler_cancellation=True, shutdown_timeout=0.1)
    async with server, aiohttp.ClientSession() as session:
        settings = SidecarSettings(
            engine_url=str(server.make_url("")).rstrip("/"),
            model="name",
            answer_limit=timedelta(seconds=0.2 if health is hangs else 60),
            token_limit=timedelta(seconds=0.2 if completions is hangs else 60),
        )
        yield EngineClient(settings, session)


async def test_a_server_that_hangs_at_load_is_late_and_not_well() -> None:
    async with client(hangs) as engine:
        seen = await engine.observed()
    assert (seen.answer, seen.detail) == (Answer.LATE, "no answer within 0.2 s")


@pytest.mark.parametrize(
    ("completions", "words"),
    [
        (saying("<html>It works!</html>"), "an answer without a choice: <html>It works!</html>"),
        (saying(""), "an answer without a choice: "),
        (saying("[1, 2]"), "an answer without a choice: [1, 2]"),
        (saying('{"error": {"message": "CUDA out of memory"}}'), "CUDA out of memory"),
        (saying('{"choices": []}'), "an answer without a choice"),
        (saying('{"error": {"message": "no GPU"}}', status=500), "status 500: no GPU"),
        (hangs, "no token within 0.2 s"),
    ],
    ids=["html", "nothing", "a list", "200 with an error", "no choice", "500", "hangs"],
)
async def test_what_is_no_token_is_no_proof_and_the_words_say_why(completions: Handler, words: str) -> None:
    async with client(saying("ok"), completions) as engine:
        seen = await engine.observed()
        failure = await engine.token_failure()
    assert seen.answer is Answer.OK
    assert words in failure
