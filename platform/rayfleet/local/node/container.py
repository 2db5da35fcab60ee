"""One container: configured, started, probed, ended, started again.

A container that an earlier node left running is taken back: its process is known from the container's state file, its
probes go on.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from rayfleet.local.node.container_state import ContainerState, forget_state, running_state, write_state
from rayfleet.local.node.environments import CannotConfigure
from rayfleet.local.node.images import ImageNotFound
from rayfleet.local.node.loopback import NotResolved
from rayfleet.local.node.pod_status import Ended
from rayfleet.local.node.prober import ProbeTarget, http_get, run_command, run_probe
from rayfleet.local.node.probes import ProbeKind, probe_specs
from rayfleet.local.node.processes import Children, ContainerCommand, ContainerProcess, end_marked
from rayfleet.local.node.recalling import UNKNOWN_EXIT_CODE, recalled_view
from rayfleet.local.node.restarts import ends_in_a_row, is_restarted, restart_backoff

log = logging.getLogger(__name__)

JsonObject = Mapping[str, Any]
# How often a container is looked at again whose configuration is not complete yet (a Secret, a Service's address).
CONFIGURE_AGAIN_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """A container ready to start: command, and how its probes ask."""

    command: ContainerCommand
    target: ProbeTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerContext:
    """What a container's life depends on.

    ``configure`` may raise CannotConfigure and NotResolved; ``mark`` is in every process.

    ``status`` is what the pod's status says of the container; ``grace`` is for ends that a probe brings about; ``tell``
    takes reason and message of an event, by the kubelet's names.
    """

    raw: JsonObject
    status: JsonObject
    folder: Path
    mark: str
    restart_policy: str
    grace: timedelta
    children: Children
    configure: Callable[[int], Configured]
    on_change: Callable[[], None]
    tell: Callable[[str, str], None]


class Container:
    """``view`` is what is known now; ``run`` lives until the container has ended for good."""

    def __init__(self, context: ContainerContext) -> None:
        self._context = context
        running = running_state(context.folder)
        self._process = None if running is None else ContainerProcess(running.process)
        self._target: ProbeTarget | None = None
        self._stopping = asyncio.Event()
        self._ends = 0
        self._ending: asyncio.Task[None] | None = None
        self.view = recalled_view(context.raw, context.status, running, context.restart_policy)

    @property
    def is_over(self) -> bool:
        """Whether it has ended and is not to run again."""
        return self.view.ended is not None and not is_restarted(self._context.restart_policy, self.view.ended.exit_code)

    def assume_done(self) -> None:
        """Show an init container of a pod that is past it as what it must have been: completed."""
        now = datetime.now(UTC)
        known = self.view.ended if self.view.ended and not self.view.ended.exit_code else None
        ended = known or Ended(exit_code=0, reason="Completed", started_at=now, finished_at=now)
        self._show(ended=ended, is_ready=True)

    async def run(self) -> None:
        """Run the container, again and again as its policy says; return when it is over or was stopped."""
        if self.is_over:
            await end_marked(self._context.mark)
            return
        process, started_at = self._process, self.view.started_at
        ended = None
        if process is not None and started_at is not None:
            log.info("took a container back", extra={"container": self.view.name, "pid": process.started.pid})
            ended = await self._lived(process, started_at, None)
        while not self._stopping.is_set():
            if ended is not None:
                if not is_restarted(self._context.restart_policy, ended.exit_code):
                    return
                await self._back_off()
            configured = await self._configured()
            if configured is None:
                return
            ended = await self._one_run(configured)

    async def stop(self, grace: timedelta) -> None:
        """End the container: preStop, SIGTERM, and SIGKILL of every process of it when its grace is over."""
        self._stopping.set()
        process = self._process
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace.total_seconds()
        if process is not None:
            self._context.tell("Killing", f"Stopping container {self.view.name}")
            await self._pre_stop(deadline)
            # As the kubelet: a preStop hook that used up the grace leaves a moment all the same.
            await process.terminate(max(deadline, loop.time() + (2 if grace else 0)))
        await self.kill()

    async def kill(self) -> None:
        """End every process of the container now; its run then ends as it would by itself."""
        if self._process is not None:
            self._process.kill_group()
        await end_marked(self._context.mark)
        await self._context.children.end_orphans()

    async def _configured(self, *, is_shown: bool = True) -> Configured | None:
        """Return how to start, as soon as that is known; None when the container is stopped before."""
        while not self._stopping.is_set():
            try:
                return self._context.configure(self.view.restart_count)
            except ImageNotFound as error:
                reason, message = "ErrImagePull", str(error)
            except CannotConfigure as error:
                reason, message = "CreateContainerConfigError", str(error)
            except NotResolved as error:
                reason, message = "WaitingForService", str(error)
            if is_shown:
                self._wait(reason, message)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CONFIGURE_AGAIN_SECONDS):
                    await self._stopping.wait()
        return None

    async def _one_run(self, configured: Configured) -> Ended | None:
        """Start the container, probe it, wait for its end; None when it was stopped before it began."""
        await end_marked(self._context.mark)  # nothing of an earlier run may hold its ports
        if self._stopping.is_set():
            return None
        started_at = datetime.now(UTC)
        try:
            process = self._context.children.start(configured.command)
        except OSError as error:
            message = f"{configured.command.words[0]}: {error.strerror or error}"
            self._ends += 1
            ended = Ended(
                exit_code=128, reason="StartError", started_at=started_at, finished_at=started_at, message=message
            )
            self._show(ended=ended, is_ready=False)
            self._context.tell("Failed", f"Container {self.view.name} cannot be started: {message}")
            return ended
        self._process = process
        count = self.view.restart_count
        write_state(
            self._context.folder, ContainerState(process=process.started, restart_count=count, started_at=started_at)
        )
        specs = probe_specs(self._context.raw)
        self._show(
            started_at=started_at,
            ended=None,
            waiting_reason="",
            waiting_message="",
            container_id=f"rayfleet://{self._context.mark}/{count}",
            is_started=ProbeKind.STARTUP not in specs,
            is_ready=not specs.keys() & {ProbeKind.READINESS, ProbeKind.STARTUP},
        )
        self._context.tell("Started", f"Started container {self.view.name}")
        return await self._lived(process, started_at, configured)

    async def _lived(self, process: ContainerProcess, started_at: datetime, configured: Configured | None) -> Ended:
        """Probe a running container until it ends, and end what it leaves.

        ``configured`` is None for one taken back.
        """
        probing = asyncio.create_task(self._probe(configured))
        try:
            code = await process.wait()
        finally:
            probing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await probing
        if not self._stopping.is_set():  # as the end of a pid namespace's first process ends them all
            await end_marked(self._context.mark)
            await self._context.children.end_orphans()
        forget_state(self._context.folder)
        return self._note_end(code, started_at)

    def _note_end(self, code: int | None, started_at: datetime) -> Ended:
        now = datetime.now(UTC)
        exit_code = UNKNOWN_EXIT_CODE if code is None else code if code >= 0 else 128 - code
        reason = "ContainerStatusUnknown" if code is None else "Completed" if exit_code == 0 else "Error"
        message = "it ended under another node process than the one that started it" if code is None else ""
        ended = Ended(exit_code=exit_code, reason=reason, started_at=started_at, finished_at=now, message=message)
        self._process = None
        self._ends = ends_in_a_row(self._ends, now - started_at)
        log.info("a container ended", extra={"container": self._context.mark, "exit_code": exit_code, "reason": reason})
        self._show(started_at=None, ended=ended, is_ready=False, is_started=False)
        return ended

    async def _back_off(self) -> None:
        pause = restart_backoff(self._ends)
        last = self.view.ended or self.view.last_ended
        if pause:
            self._show(ended=None, last_ended=last)
            message = f"back-off {pause.total_seconds():.0f} s restarting container {self.view.name}"
            self._wait("CrashLoopBackOff", message)
            self._context.tell("BackOff", message)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause.total_seconds()):
                    await self._stopping.wait()
        if not self._stopping.is_set():
            self._show(last_ended=last, restart_count=self.view.restart_count + 1)

    async def _probe(self, configured: Configured | None) -> None:
        configured = configured or await self._configured(is_shown=False)
        if configured is None:
            return
        target = self._target = configured.target
        specs = probe_specs(self._context.raw)
        startup = specs.pop(ProbeKind.STARTUP, None)
        if startup is not None and not self.view.is_started:
            await run_probe(startup, target, self._on_probe)
            if ProbeKind.READINESS not in specs:
                self._show(is_ready=True)
        async with asyncio.TaskGroup() as group:
            for spec in specs.values():
                group.create_task(run_probe(spec, target, self._on_probe))

    def _on_probe(self, kind: ProbeKind, is_passing: bool) -> None:
        if not is_passing:
            self._context.tell("Unhealthy", f"{kind.value} probe of container {self.view.name} failed")
        match kind, is_passing:
            case ProbeKind.READINESS, _:
                self._show(is_ready=is_passing)
            case ProbeKind.STARTUP, True:
                self._show(is_started=True)
            case _, False:
                facts = {"container": self._context.mark, "probe": kind.value}
                log.warning("a probe failed; ending the container", extra=facts)
                if self._ending is None or self._ending.done():
                    self._ending = asyncio.create_task(self._end_for_probe())
            case _:
                return

    async def _end_for_probe(self) -> None:
        """End this run; the container's life goes on as its policy says."""
        process = self._process
        if process is None:
            return
        deadline = asyncio.get_running_loop().time() + self._context.grace.total_seconds()
        await self._pre_stop(deadline)
        await process.terminate(deadline)
        process.kill_group()
        if self._process is process:
            await end_marked(self._context.mark)

    async def _pre_stop(self, deadline: float) -> None:
        hook = (self._context.raw.get("lifecycle") or {}).get("preStop")
        if not hook or self._target is None:
            return
        try:
            async with asyncio.timeout_at(deadline):
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

    def _wait(self, reason: str, message: str) -> None:
        if (self.view.waiting_reason, self.view.waiting_message) == (reason, message):
            return
        self._show(waiting_reason=reason, waiting_message=message, started_at=None, ended=None, is_ready=False)
        if reason in {"ErrImagePull", "CreateContainerConfigError"}:
            self._context.tell("Failed", f"Error: {reason}: {message}")

    def _show(self, **changes: Any) -> None:
        self.view = replace(self.view, **changes)
        self._context.on_change()
