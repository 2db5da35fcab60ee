"""The only module that speaks to Ray: join, watch its nodes, start and end actors.

Ray is imported here lazily: its import is the largest part of a start, and the API must answer 503 meanwhile.

Every actor is bound to a node by the node's identity, and to no other: one that cannot run there fails, or is given up
after a while. A placement group would choose the nodes by itself, and move a bundle when its node dies, but not when
the node dies while an actor is being placed on that bundle: then it is never placed again (Ray 2.60, a node killed
0.1 s after its actor). tests/e2e/test_llamacpp_on_ray.py tries that order of deaths.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from rayfleet.model.errors import EnvironmentProblem
from rayfleet_llamacpp.actor import LlamaServer, Running, ServerSettings
from rayfleet_llamacpp.membership import RayNode

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.25
_NAMESPACE = "rayfleet"


class RayConnection:
    """A connection to one Ray cluster, as a driver of it; ``on_joined`` is called in the loop when it is one."""

    def __init__(self, address: str, host: str, on_joined: Callable[[], None]) -> None:
        self._address = address
        self._host = host
        self._on_joined = on_joined
        self._ray: Any = None
        self._nodes: tuple[RayNode, ...] = ()
        self._heard_at = 0.0
        self._changed = asyncio.Event()

    @property
    def nodes(self) -> tuple[RayNode, ...]:
        """The nodes as Ray told last, the dead included."""
        return self._nodes

    @property
    def silence_seconds(self) -> float:
        """Age of Ray's last answer; 0 before the first."""
        return time.monotonic() - self._heard_at if self._heard_at else 0.0

    async def connect(self) -> None:
        """Import Ray, wait for the head service's port, join as a driver, begin to watch. The caller sets the limit."""
        imported = asyncio.create_task(asyncio.to_thread(_import_ray))
        await self._port_open()
        self._ray = await imported
        began = time.monotonic()
        while True:
            try:
                await asyncio.to_thread(self._join)
                break
            except (ConnectionError, RuntimeError, ValueError) as error:
                # The head service is up before the node of this address has registered.
                log.info("Ray is not ready yet: %s", error)
                await asyncio.sleep(0.2)
        log.info("joined Ray at %s in %.2f s", self._address, time.monotonic() - began)
        self._on_joined()
        loop = asyncio.get_running_loop()
        # Not a pool thread: the call hangs while the head service is gone, and must not hold up the end of the process.
        threading.Thread(target=self._watch, args=(loop,), name="ray-nodes", daemon=True).start()

    async def changed(self) -> None:
        """Return after the next answer of Ray about its nodes."""
        self._changed.clear()
        await self._changed.wait()

    async def start_server(self, node: RayNode, settings: ServerSettings, place_seconds: float) -> "Server":
        """Start an actor on that node and load the model in it; the actor is ended if that fails or is cancelled.

        Raises EnvironmentProblem when Ray does not run the actor within ``place_seconds``.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        strategy = NodeAffinitySchedulingStrategy(node.identity, soft=False)
        # Two threads: `load` and `stay`.
        options = {"num_cpus": 0, "num_gpus": 1, "max_concurrency": 2, "scheduling_strategy": strategy}
        actor = await asyncio.to_thread(self._ray.remote(LlamaServer).options(**options).remote)
        server = Server(self._ray, actor)
        try:
            await self._placed(actor, node, place_seconds)
            running: Running = await asyncio.wrap_future(actor.load.remote(settings).future())
        except BaseException:
            server.end()
            raise
        server.running = running
        return server

    def leave(self) -> None:
        """End all actors and leave. Blocking; hangs when the head service is gone."""
        if self._ray is not None:
            self._ray.shutdown()

    async def _placed(self, actor: Any, node: RayNode, limit_seconds: float) -> None:
        try:
            async with asyncio.timeout(limit_seconds):
                await asyncio.wrap_future(actor.up.remote().future())
        except TimeoutError as error:
            raise EnvironmentProblem(
                f"Ray ran no server on node {node.address} within {limit_seconds:.0f} s",
                way_out="Its slot is held, or it has none: every `ray start` needs --num-gpus=1 for a (logical) slot.",
            ) from error

    async def _port_open(self) -> None:
        host, _, port = self._address.rpartition(":")
        while True:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return

    def _join(self) -> None:
        self._ray.init(
            address=self._address,
            _node_ip_address=self._host,
            namespace=_NAMESPACE,
            log_to_driver=False,
            configure_logging=False,
        )

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            try:
                entries = self._ray.nodes()
            except Exception:  # whatever Ray raises: its silence is what counts, and is judged elsewhere
                log.warning("Ray does not tell its nodes", exc_info=True)
                time.sleep(_POLL_SECONDS)
                continue
            nodes = tuple(_node(entry) for entry in entries)
            try:
                loop.call_soon_threadsafe(self._take, nodes)
            except RuntimeError:  # the loop is closed: the driver has ended
                return
            time.sleep(_POLL_SECONDS)

    def _take(self, nodes: tuple[RayNode, ...]) -> None:
        self._nodes = nodes
        self._heard_at = time.monotonic()
        self._changed.set()


class Server:
    """One actor that has loaded its model."""

    running: Running

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray = ray
        self._actor = actor

    async def death(self) -> str:
        """Return why the actor died, when it does; may be cancelled."""
        try:
            await asyncio.wrap_future(self._actor.stay.remote().future())
        except self._ray.exceptions.RayError as error:
            return str(error).strip().splitlines()[0]
        return "it left"

    def end(self) -> None:
        """Kill the actor, dead or alive; returns at once."""
        self._ray.kill(self._actor)


def _import_ray() -> Any:
    began = time.monotonic()
    import ray

    log.info("imported ray in %.2f s", time.monotonic() - began)
    return ray


def _node(entry: dict[str, Any]) -> RayNode:
    return RayNode(
        identity=entry["NodeID"],
        address=entry["NodeManagerAddress"],
        machine=entry["NodeManagerHostname"],
        is_alive=bool(entry["Alive"]),
    )
