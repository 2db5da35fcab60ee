"""One container: the loop that carries out what ``lifecycle`` says, and tells it what has happened.

A step is cut short when something happens that makes another one right. A container that an earlier node left running
is taken back: its process is known from the container's state file, its probes go on.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, assert_never

import aiohttp

from rayfleet.local.node.container_state import ContainerState, forget_state, write_state
from rayfleet.local.node.environments import CannotConfigure
from rayfleet.local.node.images import ImageNotFound
from rayfleet.local.node.lifecycle import (
    CONFIGURE_AGAIN,
    Attend,
    Blocked,
    Clear,
    Cleared,
    ContainerPolicy,
    Event,
    Exited,
    HookEnded,
    NotStarted,
    PreStop,
    Probed,
    Rest,
    Start,
    Started,
    Step,
    Stop,
    Wait,
    WaitOver,
    after,
    next_step,
)
from rayfleet.local.node.loopback import NotResolved
from rayfleet.local.node.messages import MESSAGE_FILE, end_message
from rayfleet.local.node.notices import Notice, notices
from rayfleet.local.node.prober import ProbeTarget, http_get, run_command, run_probe
from rayfleet.local.node.probes import ProbeKind, probe_specs
from rayfleet.local.node.processes import KILL_LIMIT_SECONDS, Children, ContainerCommand, ContainerProcess, end_marked
from rayfleet.local.node.views import ContainerView, container_id
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.parts import part
from rayfleet.objects.volumes import message_place

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """A container ready to start: command, and how its probes ask."""

    command: ContainerCommand
    target: ProbeTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerContext:
    """What a container's life depends on.

    ``configure`` takes a run's number and may raise CannotConfigure and NotResolved; ``mark`` is in every process.
    ``notify`` takes what a person should read.
    """

    raw: ReadOnlyJson
    policy: ContainerPolicy
    folder: Path
    mark: str
    children: Children
    configure: Callable[[int], Configured]
    on_change: Callable[[], None]
    notify: Callable[[Notice], None]


class Container:
    """``view`` is what is known now; ``run`` lives until nothing is left to be done for it."""

    def __init__(self, context: ContainerContext, view: ContainerView, running: ContainerState | None) -> None:
        self._context = context
        self.view = view
        self._process = None if running is None else ContainerProcess(running.process)
        self._target: ProbeTarget | None = None
        self._probing: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()

    def take(self, event: Event, now: datetime | None = None) -> None:
        """Let the container's life go on by an event, which happened ``now``."""
        before = self.view
        self.view = after(before, event, self._context.policy, now or datetime.now(UTC))
        for notice in notices(before, event, self.view):
            self._context.notify(notice)
        if self.view != before:
            self._moved.set()
            self._context.on_change()

    async def run(self) -> None:
        """Do what is to be done until there is nothing more; cancelled, the container's processes live on."""
        if self._process is not None:
            log.info("took a container back", extra={"container": self.view.name, "pid": self._process.identity.pid})
            self._probing = asyncio.create_task(self._probe_again())
        try:
            while not isinstance(step := self._step(), Rest):
                await self._carry_out(step)
        finally:
            await self._end_probing()

    def _step(self) -> Step:
        return next_step(self.view, self._context.policy)

    async def _carry_out(self, step: Step) -> None:
        match step:
            case Clear():
                await self._clear()
                self.take(Cleared())
            case Start(run=run):
                self._start(run)  # nothing can happen between the decision and the start
            case Wait(until=until):
                if await self._unless_moved(step, asyncio.sleep(_seconds_until(until))):
                    self.take(WaitOver())
            case PreStop(by=by):
                if await self._unless_moved(step, self._pre_stop(by)):
                    self.take(HookEnded())
            case Attend() | Stop():
                if await self._unless_moved(step, self._process_ends(step)):
                    await self._note_end()
            case Rest():
                return
            case _:
                assert_never(step)

    async def _unless_moved(self, step: Step, work: Coroutine[Any, Any, None]) -> bool:
        """Do the work of a step and return True; False when the step is no longer the right one before it is done."""
        task = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._moved.set())
        try:
            while not task.done():
                await self._moved.wait()
                self._moved.clear()
                if not task.done() and self._step() != step:
                    return False
            task.result()  # raises what the work raised
        finally:
            task.cancel()
            await asyncio.wait({task})
        return True

    async def _process_ends(self, step: Attend | Stop) -> None:
        """Wait until the first process has ended; to stop it, ask it, and make an end of it when its time is over."""
        process = self._running_process
        if isinstance(step, Attend):
            await process.wait()
            return
        await process.terminate(asyncio.get_running_loop().time() + _seconds_until(step.by))
        process.kill_group()

    @property
    def _running_process(self) -> ContainerProcess:
        assert self._process is not None, "a container runs without a process"
        return self._process

    def _start(self, run: int) -> None:
        configured = self._configured(run)
        if isinstance(configured, Blocked):
            self.take(configured)
            return
        now = datetime.now(UTC)
        try:
            process = self._context.children.start(configured.command)
        except OSError as error:
            self.take(NotStarted(message=f"{configured.command.words[0]}: {error.strerror or error}"), now)
            return
        self._process = process
        write_state(self._context.folder, ContainerState(process=process.identity, restart_count=run, started_at=now))
        self.take(Started(container_id=container_id(self._context.mark, run)), now)
        self._probing = asyncio.create_task(self._probe(configured.target))

    def _configured(self, run: int) -> Configured | Blocked:
        """Return how to start, or what it lacks for that."""
        try:
            return self._context.configure(run)
        except ImageNotFound as error:
            return Blocked(reason="ErrImagePull", message=str(error))
        except CannotConfigure as error:
            return Blocked(reason="CreateContainerConfigError", message=str(error))
        except NotResolved as error:
            return Blocked(reason="WaitingForService", message=str(error))

    async def _clear(self) -> None:
        """End every process of the container, as the end of a pid namespace's first process does."""
        await end_marked(self._context.mark)
        await self._context.children.end_orphans()

    async def _note_end(self) -> None:
        """End what the first process leaves, and note how it ended."""
        await self._end_probing()
        await self._clear()
        code = None
        try:
            async with asyncio.timeout(KILL_LIMIT_SECONDS):
                code = await self._running_process.wait()
        except TimeoutError:
            log.error("a container's process cannot be ended", extra={"container": self._context.mark})
        forget_state(self._context.folder)
        self._process = self._target = None
        self.take(Exited(code=code, message=await asyncio.to_thread(self._message, code)))
        ended = self.view.newest_end
        facts = {"exit_code": ended.exit_code, "reason": ended.reason} if ended else {}
        log.info("a container ended", extra={"container": self._context.mark, **facts})

    def _message(self, code: int | None) -> str:
        folder = self._context.folder
        log = folder / f"{self.view.restart_count}.log"
        return end_message(message_place(self._context.raw), folder / MESSAGE_FILE, log, code)

    async def _end_probing(self) -> None:
        """Stop asking. Raises what the probes have failed with."""
        probing, self._probing = self._probing, None
        if probing is not None:
            probing.cancel()
            await asyncio.wait({probing})
            if not probing.cancelled():
                probing.result()

    async def _probe_again(self) -> None:
        """Probe a container that was taken back, as soon as it is known how to ask it."""
        while isinstance(configured := self._configured(self.view.restart_count), Blocked):
            await asyncio.sleep(CONFIGURE_AGAIN.total_seconds())
        await self._probe(configured.target)

    async def _probe(self, target: ProbeTarget) -> None:
        self._target = target
        specs = probe_specs(self._context.raw)
        startup = specs.pop(ProbeKind.STARTUP, None)
        if startup is not None and not self.view.is_started:
            await run_probe(startup, target, self._on_probe)
        async with asyncio.TaskGroup() as group:
            for spec in specs.values():
                group.create_task(run_probe(spec, target, self._on_probe))

    def _on_probe(self, kind: ProbeKind, is_passing: bool) -> None:
        if not is_passing and kind is not ProbeKind.READINESS:
            facts = {"container": self._context.mark, "probe": kind.value}
            log.warning("a probe failed; ending the container", extra=facts)
        self.take(Probed(kind=kind, is_passing=is_passing))

    async def _pre_stop(self, by: datetime) -> None:
        """Run the preStop hook; a container that was taken back and is not known yet has none."""
        hook = part(self._context.raw, "lifecycle").get("preStop")
        if self._target is None:
            return
        try:
            async with asyncio.timeout(_seconds_until(by)):
                match hook:
                    case {"exec": {"command": command}}:
                        await run_command(command, self._target)
                    case {"httpGet": action}:
                        await http_get(action, self._target)
                    case {"sleep": {"seconds": seconds}}:
                        await asyncio.sleep(seconds)
        except (TimeoutError, OSError, aiohttp.ClientError) as error:
            facts = {"container": self._context.mark, "reason": str(error) or "out of time"}
            log.warning("preStop failed", extra=facts)


def _seconds_until(moment: datetime) -> float:
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
