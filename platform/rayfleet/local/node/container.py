"""One container: configured, started, probed, ended, started again."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rayfleet.local.node.container_state import ContainerState, forget_state, read_state, write_state
from rayfleet.local.node.environments import CannotConfigure
from rayfleet.local.node.images import ImageNotFound
from rayfleet.local.node.loopback import NotResolved
from rayfleet.local.node.pod_status import ContainerView, Ended
from rayfleet.local.node.prober import ProbeTarget, http_get, run_command, run_probe
from rayfleet.local.node.probes import ProbeKind, probe_specs
from rayfleet.local.node.processes import ContainerCommand, ContainerProcess, end_marked
from rayfleet.local.node.restarts import ends_in_a_row, is_restarted, restart_backoff

log = logging.getLogger(__name__)

JsonObject = Mapping[str, Any]
# How often a container is looked at again whose configuration is not complete yet (a Secret, a Service's address).
CONFIGURE_AGAIN_SECONDS = 0.2
UNKNOWN_EXIT_CODE = 137  # what the kubelet reports for a container whose end it did not see


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """A container ready to start: command, and how its probes ask."""

    command: ContainerCommand
    target: ProbeTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerContext:
    """What a container's life depends on. ``configure`` may raise CannotConfigure and NotResolved; ``mark`` is in every process."""

    raw: JsonObject
    folder: Path
    mark: str
    restart_policy: str
    configure: Callable[[int], Configured]
    on_change: Callable[[], None]


class Container:
    """``view`` is what is known now; ``run`` lives until the container has ended for good."""

    def __init__(self, context: ContainerContext) -> None:
        self._context = context
        self._process: ContainerProcess | None = None
        self._target: ProbeTarget | None = None
        self._stopping = asyncio.Event()
        self._ends = 0
        self.view = ContainerView(
            name=context.raw["name"], image=context.raw.get("image", ""), waiting_reason="PodInitializing"
        )

    @property
    def is_adopted(self) -> bool:
        """Whether an earlier node left this container running."""
        return read_state(self._context.folder) is not None

    def assume_done(self) -> None:
        """Show an init container of a pod that was taken back as what it must have been: completed."""
        now = datetime.now(UTC)
        self._show(ended=Ended(exit_code=0, reason="Completed", started_at=now, finished_at=now), is_ready=True)

    async def run(self) -> None:
        """Run the container, again and again as its policy says; return when it is over or was stopped."""
        adopted = self._adopted()
        while not self._stopping.is_set():
            configured = await self._configured()
            if configured is None:
                return
            ended = await self._one_run(configured, adopted)
            adopted = None
            if ended is None or not self._is_again(ended):
                return
            await self._back_off()

    async def stop(self, grace: timedelta) -> None:
        """End the container: preStop, SIGTERM, and SIGKILL of every process of it when its grace is over."""
        self._stopping.set()
        process = self._process
        deadline = asyncio.get_running_loop().time() + grace.total_seconds()
        if process is not None:
            await self._pre_stop(deadline)
            process.signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(max(deadline, asyncio.get_running_loop().time() + 0.05)):
                    await process.wait()
        await end_marked(self._context.mark)

    async def kill(self) -> None:
        """End every process of the container now; its run then ends as it would by itself."""
        await end_marked(self._context.mark)

    def _adopted(self) -> ContainerState | None:
        """Return what an earlier node left running."""
        state = read_state(self._context.folder)
        if state is None:
            return None
        self._show(restart_count=state.restart_count)
        return state

    async def _configured(self) -> Configured | None:
        """Return the configuration as soon as it is complete; None when the container is stopped before."""
        while not self._stopping.is_set():
            try:
                return self._context.configure(self.view.restart_count)
            except ImageNotFound as error:
                self._wait("ErrImagePull", str(error))
            except CannotConfigure as error:
                self._wait("CreateContainerConfigError", str(error))
            except NotResolved as error:
                self._wait("WaitingForService", str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CONFIGURE_AGAIN_SECONDS):
                    await self._stopping.wait()
        return None

    async def _one_run(self, configured: Configured, adopted: ContainerState | None) -> Ended | None:
        """Start (or take back) the container, probe it, wait for its end; None when it could not start."""
        try:
            process, started_at = await self._begun(configured, adopted)
        except OSError as error:
            self._ends += 1
            self._wait("RunContainerError", f"{configured.command.words[0]}: {error.strerror or error}")
            now = datetime.now(UTC)
            return Ended(exit_code=127, reason="StartError", started_at=now, finished_at=now, message=str(error))
        self._process, self._target = process, configured.target
        specs = probe_specs(self._context.raw)
        self._show(
            started_at=started_at,
            ended=None,
            waiting_reason="",
            waiting_message="",
            container_id=f"rayfleet://{self._context.mark}/{self.view.restart_count}",
            is_started=ProbeKind.STARTUP not in specs,
            is_ready=not specs.keys() & {ProbeKind.READINESS, ProbeKind.STARTUP},
        )
        probing = asyncio.create_task(self._probe(configured.target))
        try:
            code = await process.wait()
        finally:
            probing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await probing
        await end_marked(self._context.mark)  # as the end of a pid namespace's first process ends them all
        forget_state(self._context.folder)
        return self._note_end(code, started_at)

    async def _begun(self, configured: Configured, adopted: ContainerState | None) -> tuple[ContainerProcess, datetime]:
        if adopted is not None:
            log.info("took a container back", extra={"container": self.view.name, "pid": adopted.process.pid})
            return ContainerProcess(adopted.process), adopted.started_at
        await end_marked(self._context.mark)  # nothing of an earlier run may hold its ports
        process = ContainerProcess.start(configured.command)
        state = ContainerState(
            process=process.started, restart_count=self.view.restart_count, started_at=datetime.now(UTC)
        )
        write_state(self._context.folder, state)
        return process, state.started_at

    def _note_end(self, code: int | None, started_at: datetime) -> Ended:
        now = datetime.now(UTC)
        exit_code = UNKNOWN_EXIT_CODE if code is None else code if code >= 0 else 128 - code
        reason = "ContainerStatusUnknown" if code is None else "Completed" if exit_code == 0 else "Error"
        ended = Ended(exit_code=exit_code, reason=reason, started_at=started_at, finished_at=now)
        self._process = None
        self._ends = ends_in_a_row(self._ends, now - started_at)
        self._show(started_at=None, ended=ended, is_ready=False, is_started=False)
        return ended

    def _is_again(self, ended: Ended) -> bool:
        return not self._stopping.is_set() and is_restarted(self._context.restart_policy, ended.exit_code)

    async def _back_off(self) -> None:
        pause = restart_backoff(self._ends)
        last = self.view.ended or self.view.last_ended
        if pause:
            self._show(ended=None, last_ended=last)
            self._wait(
                "CrashLoopBackOff", f"back-off {pause.total_seconds():.0f} s restarting container {self.view.name}"
            )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause.total_seconds() or 0.001):
                await self._stopping.wait()
        self._show(last_ended=last, restart_count=self.view.restart_count + 1)

    async def _probe(self, target: ProbeTarget) -> None:
        specs = probe_specs(self._context.raw)
        startup = specs.pop(ProbeKind.STARTUP, None)
        if startup is not None:
            await run_probe(startup, target, self._on_probe)
            if ProbeKind.READINESS not in specs:
                self._show(is_ready=True)
        async with asyncio.TaskGroup() as group:
            for spec in specs.values():
                group.create_task(run_probe(spec, target, self._on_probe))

    def _on_probe(self, kind: ProbeKind, is_passing: bool) -> None:
        match kind, is_passing:
            case ProbeKind.READINESS, _:
                self._show(is_ready=is_passing)
            case ProbeKind.STARTUP, True:
                self._show(is_started=True)
            case _, False:
                log.warning(
                    "probe failed; ending the container", extra={"container": self.view.name, "probe": kind.value}
                )
                self._killing = asyncio.create_task(self._end_for_probe())
            case _:
                return

    async def _end_for_probe(self) -> None:
        process = self._process
        if process is not None:
            process.signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await process.wait()
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
        except (TimeoutError, OSError) as error:
            log.warning("preStop failed", extra={"container": self.view.name, "reason": str(error)})

    def _wait(self, reason: str, message: str) -> None:
        if (self.view.waiting_reason, self.view.waiting_message) != (reason, message):
            self._show(waiting_reason=reason, waiting_message=message, started_at=None, ended=None, is_ready=False)

    def _show(self, **changes: Any) -> None:
        self.view = replace(self.view, **changes)
        self._context.on_change()
