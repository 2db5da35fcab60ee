"""The loop around one container's life, with real processes (rayfleet.local.node.container)."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from rayfleet.local.node.container import Configured, Container, ContainerContext
from rayfleet.local.node.container_state import running_state
from rayfleet.local.node.environments import CannotConfigure
from rayfleet.local.node.lifecycle import EndAsked
from rayfleet.local.node.notices import Notice
from rayfleet.local.node.pod_lifecycle import container_policy
from rayfleet.local.node.prober import ProbeTarget
from rayfleet.local.node.processes import MARK, Children, ContainerCommand, end_marked, marked_processes
from rayfleet.local.node.views import ContainerView, Ended, Running, Waiting
from rayfleet.testing.waiting import LIMIT_SECONDS, until

SLEEP = "trap 'echo bye >> said; exit 0' TERM; echo begun >> said; while :; do sleep 0.05; done"


@dataclass(slots=True)
class World:
    """One container on this machine, without a pod around it."""

    folder: Path
    session: aiohttp.ClientSession
    mark: str = field(default_factory=lambda: f"{uuid4()}/main")
    children: Children = field(default_factory=Children)
    notices: list[Notice] = field(default_factory=list)
    lacks: list[CannotConfigure] = field(default_factory=list)

    def container(self, script: str = SLEEP, *, restart: str = "Always", **raw: Any) -> Container:
        whole = {"name": "main", "image": "i", "command": ["bash", "-c", script], **raw}
        spec = {"restartPolicy": restart, "terminationGracePeriodSeconds": 5}
        context = ContainerContext(
            raw=whole,
            policy=container_policy({"spec": spec}, whole, is_init=False),
            folder=self.folder,
            mark=self.mark,
            children=self.children,
            configure=lambda run: self.configured(whole["command"], run),
            on_change=lambda: None,
            notify=self.notices.append,
        )
        running = running_state(self.folder)
        since = Running(since=running.started_at) if running else Waiting()
        return Container(context, ContainerView(name="main", image="i", state=since), running)

    def configured(self, words: list[str], run: int) -> Configured:
        if self.lacks:
            raise self.lacks[0]
        environment = {"PATH": os.environ["PATH"], MARK: self.mark}
        log = self.folder / f"{run}.log"
        command = ContainerCommand(words=words, environment=environment, folder=self.folder, log_path=log)
        target = ProbeTarget(
            address="127.0.0.1",
            port_of=int,
            words_of=lambda words: words,
            children=self.children,
            environment=environment,
            folder=self.folder,
            session=self.session,
        )
        return Configured(command=command, target=target)

    def said(self) -> list[str]:
        path = self.folder / "said"
        return path.read_text().split() if path.exists() else []

    async def until_said(self, word: str) -> None:
        await until(self.said, f"{word} is said", holds=lambda words: word in words)

    async def until_noticed(self) -> None:
        await until(lambda: self.notices, "a notice")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with aiohttp.ClientSession() as session:
        made = World(folder=tmp_path, session=session)
        yield made
        await end_marked(made.mark)


def within(seconds: float, least: float = 0) -> EndAsked:
    return EndAsked(by=datetime.now(UTC) + timedelta(seconds=seconds), least=timedelta(seconds=least))


async def test_a_life_from_the_start_to_an_end_that_was_asked_for(world: World) -> None:
    container = world.container()
    async with asyncio.timeout(LIMIT_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(container.run())
        await world.until_said("begun")
        assert running_state(world.folder) is not None
        container.take(within(30))
    assert world.said() == ["begun", "bye"]
    assert isinstance(container.view.state, Ended)
    assert running_state(world.folder) is None
    assert marked_processes(world.mark) == []
    assert [notice.reason for notice in world.notices] == ["Started", "Killing"]


@pytest.mark.parametrize(
    ("script", "policy", "message"),
    [
        ("echo first; echo last >&2; exit 3", "FallbackToLogsOnError", "first\nlast\n"),
        ("seq 1000; exit 3", "FallbackToLogsOnError", "".join(f"{number}\n" for number in range(921, 1001))),
        ("printf %4096s last; exit 3", "FallbackToLogsOnError", f"{'last':>2048}"),
        ("echo well", "FallbackToLogsOnError", ""),
        ("echo last; exit 3", "File", ""),
    ],
)
async def test_a_failed_container_leaves_its_last_words(world: World, script: str, policy: str, message: str) -> None:
    container = world.container(script, restart="Never", terminationMessagePolicy=policy)
    async with asyncio.timeout(LIMIT_SECONDS):
        await container.run()
    assert isinstance(container.view.state, Ended)
    assert container.view.state.message == message


async def test_an_end_during_a_back_off_waits_for_nothing(world: World) -> None:
    container = world.container("exit 3")
    async with asyncio.timeout(LIMIT_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(container.run())
        await until(
            lambda: container.view,
            "it waits for its second run",
            holds=lambda view: isinstance(view.state, Waiting) and view.restart_count == 1,
        )
        container.take(within(600))
    assert [notice.reason for notice in world.notices] == ["Started", "Started", "BackOff"]


async def test_what_is_lacking_is_looked_for_again_and_an_end_meanwhile_starts_nothing(world: World) -> None:
    world.lacks = [CannotConfigure("no secret")]
    container = world.container()
    async with asyncio.timeout(LIMIT_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(container.run())
        await world.until_noticed()
        world.lacks.clear()
        await world.until_said("begun")
        container.take(within(30))
    other = World(folder=world.folder / "other", session=world.session, lacks=[CannotConfigure("no secret")])
    container = other.container()
    async with asyncio.timeout(LIMIT_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(container.run())
        await other.until_noticed()
        container.take(within(30))
        other.lacks.clear()
    assert other.said() == []


async def test_an_end_that_comes_sooner_cuts_the_hook_and_leaves_sigterm_the_rest(world: World) -> None:
    hook = {"preStop": {"exec": {"command": ["bash", "-c", "echo hooked >> said; sleep 600"]}}}
    container = world.container(lifecycle=hook)
    async with asyncio.timeout(LIMIT_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(container.run())
        await world.until_said("begun")
        container.take(within(600))
        await world.until_said("hooked")
        container.take(within(5))
    assert world.said() == ["begun", "hooked", "bye"]
    assert marked_processes(world.mark) == []


async def test_an_end_that_comes_sooner_kills_what_ignores_sigterm(world: World) -> None:
    container = world.container("trap '' TERM; echo begun >> said; while :; do sleep 0.05; done")
    async with asyncio.timeout(LIMIT_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(container.run())
        await world.until_said("begun")
        container.take(within(600))
        await asyncio.sleep(0)
        container.take(within(0.2))
    assert isinstance(container.view.state, Ended)
    assert container.view.state.exit_code == 137


async def test_a_container_that_is_left_running_is_taken_back(world: World) -> None:
    first = world.container()
    running = asyncio.create_task(first.run())
    await world.until_said("begun")
    running.cancel()
    await asyncio.wait({running})
    assert marked_processes(world.mark)
    second = world.container(restart="Never")
    async with asyncio.timeout(LIMIT_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(second.run())
        await asyncio.sleep(0)
        second.take(within(30))
    assert isinstance(second.view.state, Ended)
    assert second.view.state.reason == "ContainerStatusUnknown"
    assert world.said() == ["begun", "bye"]
    state = first._process
    assert state is not None
    await state.wait()  # reaped by the node that started it
