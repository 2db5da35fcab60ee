"""Keep one server per node alive: start, watch, declare lost, start again. Effects here; judgement in membership.py."""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp

from rayfleet.model.errors import EnvironmentProblem, RayfleetError
from rayfleet_llamacpp.actor import Running, ServerSettings
from rayfleet_llamacpp.membership import (
    Observation,
    RayNode,
    Slot,
    SlotState,
    Verdict,
    alive_addresses,
    free_node,
    is_alive,
    judge,
    neighbours,
)
from rayfleet_llamacpp.options import Options

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.3
_ANSWER_LIMIT_SECONDS = 2.0
_MISSES_ALLOWED = 3  # answers in a row that may fail to come; a closed port is believed at once
_STARTS_ALLOWED = 3  # failed starts in a row of one slot before the driver gives up and lets its container restart
_PLACE_SECONDS = 20.0  # for Ray to run an actor on a node that is alive: it takes 2 s, and much more on a busy machine
_PAUSE_SECONDS = 1.0  # after a failed start
_RAY_GONE_SECONDS = 10.0


class RayGone(EnvironmentProblem):
    """Ray's head service answers no more: everything it knew is lost."""


class NodeLost(EnvironmentProblem):
    """The node died while a server was being started there."""


class Server(Protocol):
    """One server that has loaded its model (rayfleet_llamacpp.connection)."""

    running: Running

    async def death(self) -> str:
        """Return why it died, when it does; may be cancelled."""
        ...

    def end(self) -> None:
        """Kill it, dead or alive; returns at once."""
        ...


class Ray(Protocol):
    """What a replica must know of its Ray cluster, and do there (rayfleet_llamacpp.connection)."""

    @property
    def nodes(self) -> tuple[RayNode, ...]:
        """The nodes as Ray told last, the dead included."""
        ...

    @property
    def silence_seconds(self) -> float:
        """Age of Ray's last answer; 0 before the first."""
        ...

    async def connect(self) -> None:
        """Join; the caller sets the limit."""
        ...

    async def changed(self) -> None:
        """Return after the next answer of Ray about its nodes."""
        ...

    async def start_server(self, node: RayNode, settings: ServerSettings, place_seconds: float) -> Server:
        """Start a server on that node; it is ended if that fails or is cancelled."""
        ...


@dataclass(slots=True)
class _Held:
    slot: Slot
    server: Server | None = None
    identity: str = ""  # of the slot's node
    heard_at: float = -math.inf  # when the newest question was asked that its server has answered


class Replica:
    """All servers of a Ray cluster. ``assemble``, then ``keep`` are its life; the rest only looks."""

    def __init__(
        self,
        options: Options,
        connection: Ray,
        session: aiohttp.ClientSession,
        on_lost: Callable[[Slot], None],
    ) -> None:
        self._options = options
        self._connection = connection
        self._session = session
        self._on_lost = on_lost
        self._held = [_Held(Slot(index=index)) for index in range(options.nodes)]
        self._began = time.monotonic()
        self._is_connected = False
        self._told_alive = -1
        self._lost_at = -math.inf
        self.is_draining = False

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The slots as they are now, by index."""
        return tuple(held.slot for held in self._held)

    @property
    def nodes(self) -> tuple[RayNode, ...]:
        """Ray's own view."""
        return self._connection.nodes

    def verdict(self) -> Verdict:
        """Return whether the engine is healthy now."""
        return judge(
            Observation(
                expected_nodes=self._options.nodes,
                is_connected=self._is_connected,
                ray_silence_seconds=self._connection.silence_seconds,
                nodes=self._connection.nodes,
                slots=self.slots,
                is_draining=self.is_draining,
                unheard=tuple(
                    held.slot.index
                    for held in self._held
                    if held.slot.state is SlotState.SERVING and held.heard_at < self._lost_at
                ),
            )
        )

    async def assemble(self) -> None:
        """Join Ray and wait for the nodes; EnvironmentProblem when they do not come."""
        limit = self._options.node_wait_seconds
        try:
            async with asyncio.timeout(limit):
                await self._connection.connect()
                await self._enough_nodes()
        except TimeoutError as error:
            raise EnvironmentProblem(
                f"within {limit:.0f} s only {len(alive_addresses(self.nodes))} of {self._options.nodes} Ray nodes came "
                f"to {self._options.ray_address}",
                way_out="Look at the worker pods.",
            ) from error

    async def keep(self) -> None:
        """Serve until cancelled. Raises (in a group) RayGone, or EnvironmentProblem when servers do not start."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_ray())
            for held in self._held:
                tasks.create_task(self._keep(held))

    async def _enough_nodes(self) -> None:
        while True:
            alive = len(alive_addresses(self.nodes))
            if alive != self._told_alive:
                self._tell(f"{alive} of {self._options.nodes} Ray nodes alive")
                self._told_alive = alive
            self._is_connected = bool(self.nodes)
            if alive >= self._options.nodes:
                return
            await self._connection.changed()

    async def _watch_ray(self) -> None:
        while self._connection.silence_seconds < _RAY_GONE_SECONDS:
            await asyncio.sleep(_POLL_SECONDS)
        raise RayGone(
            f"Ray's head service at {self._options.ray_address} is silent for {_RAY_GONE_SECONDS:.0f} s",
            way_out="The container restarts and the replica starts anew; see the log of `ray start` above.",
        )

    async def _keep(self, held: _Held) -> None:
        failures = 0
        while True:
            await self._enough_nodes()
            try:
                await self._start(held)
            except NodeLost as error:
                self._lose(held, error.message)
            except Exception as error:
                failures += 1
                log.warning(
                    "server %d did not start (%d of %d)", held.slot.index, failures, _STARTS_ALLOWED, exc_info=True
                )
                self._lose(held, f"did not start: {_cause(error)}")
                if failures >= _STARTS_ALLOWED:
                    raise EnvironmentProblem(
                        f"the llama.cpp server of node {held.slot.index} failed to start {failures} times in a row: "
                        f"{_cause(error)}",
                        way_out="See the traces above; the container restarts and tries again.",
                    ) from error
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                failures = 0
                self._lose(held, await self._loss(held))

    async def _start(self, held: _Held) -> None:
        index, node = held.slot.index, await self._free_node()
        held.slot, held.identity = held.slot.moved(SlotState.LOADING, node=node.address), node.identity
        settings = ServerSettings(
            model=self._options.model,
            served_model_name=self._options.served_model_name,
            host=node.address,
            context_tokens=self._options.context_tokens,
            parallel_requests=self._options.parallel_requests,
            threads=self._options.threads,
            neighbours=neighbours(self.nodes, node.address),
            disabled_plugins=self._options.disabled_plugins,
        )
        async with asyncio.timeout(self._options.load_seconds):
            held.server = await self._started(node, settings)
        running = held.server.running
        held.slot = held.slot.moved(SlotState.SERVING, node=node.address, url=running.url, pid=running.pid)
        self._tell(f"server {index} serves at {running.url} (pid {running.pid}, {running.threads} threads)")
        if self.verdict().is_healthy:
            self._tell("healthy")

    async def _free_node(self) -> RayNode:
        while True:
            node = free_node(self.nodes, self.slots)
            if node is not None:
                return node
            await self._connection.changed()

    async def _started(self, node: RayNode, settings: ServerSettings) -> Server:
        """Return a server on that node; NodeLost as soon as Ray says that the node is dead."""
        starting = asyncio.create_task(self._connection.start_server(node, settings, _PLACE_SECONDS))
        dying = asyncio.create_task(self._node_death(node.identity))
        try:
            await asyncio.wait((starting, dying), return_when=asyncio.FIRST_COMPLETED)
            if dying.done():
                raise NodeLost(f"did not start: {dying.result()}")
            return starting.result()
        finally:
            await _cancelled(starting, dying)

    async def _loss(self, held: _Held) -> str:
        """Return why the server is lost, as soon as anything says so."""
        assert held.server is not None
        watches = [
            asyncio.create_task(held.server.death()),
            asyncio.create_task(self._silence(held)),
            asyncio.create_task(self._node_death(held.identity)),
        ]
        try:
            done, _ = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
            return "; ".join(task.result() for task in done)
        finally:
            await _cancelled(*watches)

    async def _silence(self, held: _Held) -> str:
        """Return why the server's port does not answer, when it does not; note each time that it does."""
        misses = 0
        limit = aiohttp.ClientTimeout(total=_ANSWER_LIMIT_SECONDS)
        while True:
            asked_at = time.monotonic()
            try:
                async with self._session.get(f"{held.slot.url}/health", timeout=limit) as answer:
                    misses = 0 if answer.status == 200 else misses + 1
                held.heard_at = held.heard_at if misses else asked_at
            except TimeoutError:
                misses += 1
            except aiohttp.ClientConnectorError as error:
                return f"its port is closed: {error.os_error.strerror}"
            except aiohttp.ClientError:
                misses += 1  # a connection that broke; the next try tells whether the port is closed
                continue
            if misses >= _MISSES_ALLOWED:
                return f"it does not answer ({misses} times in a row)"
            await asyncio.sleep(_POLL_SECONDS)

    async def _node_death(self, identity: str) -> str:
        while is_alive(self.nodes, identity):
            await self._connection.changed()
        return f"Ray says that its node is dead ({identity})"

    def _lose(self, held: _Held, cause: str) -> None:
        lost, self._lost_at = held.slot, time.monotonic()
        held.slot = held.slot.moved(SlotState.LOST, cause=cause)
        log.warning("server %d is lost: %s", lost.index, cause)
        if held.server is not None:
            held.server.end()
            held.server = None
        self._on_lost(lost)

    def _tell(self, text: str) -> None:
        log.info("%.2f s: %s", time.monotonic() - self._began, text)


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _cause(error: BaseException) -> str:
    """Return the cause in one line: the last one of Ray's errors."""
    if isinstance(error, RayfleetError):
        return error.message
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
