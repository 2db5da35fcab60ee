"""What an attack happens in: a gateway, an engine with its book, honest clients beside, memory and log watched."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.attack.engine import Book, running_engine
from tests.attack.healthy import honest_clients
from tests.attack.process import GatewayProcess, Verdict, running_gateway, watched_memory, write_routes
from tests.attack.wire import asked, prompt, request

_REST_SECONDS = 75.0  # until all of an attack is gone: the longest deadline is that of an idle connection
_WARM_REQUESTS = 200
_SETTLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of each attack; ``FULL`` is what the goals say, ``SMALL`` is for every test run."""

    heads: int = 100
    bodies: int = 40
    slow: int = 2000
    slow_seconds: float = 24
    stalled: int = 1000
    fuzz: int = 50_000
    pipelined: int = 50_000
    over_the_limit: int = 1000
    models: int = 5000
    floods: int = 50
    bombs: int = 60
    leavers: int = 3000
    soak: int = 10_000
    restarts: int = 8
    restart_requests: int = 20_000
    restart_streams: int = 100
    restart_models: int = 300
    away_seconds: float = 30
    step_models: int = 2000
    rest_seconds: float = 60


FULL = Size()
# Memory has the promised minute here too: the allocator's trimmer looks every ten seconds.
SMALL = Size(
    heads=20,
    bodies=6,
    slow=100,
    slow_seconds=2,
    stalled=200,  # fewer would be charged with what the process itself moves by
    fuzz=600,
    pipelined=3000,
    over_the_limit=300,
    models=300,
    floods=6,
    bombs=6,
    leavers=200,
    soak=500,
    restarts=2,
    restart_requests=500,
    restart_streams=20,
    restart_models=20,
    away_seconds=3,
    step_models=100,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """``verdict`` is filled by the attack."""

    gateway: GatewayProcess
    book: Book
    verdict: Verdict
    size: Size

    @property
    def port(self) -> int:
        """Where clients ask."""
        return self.gateway.port


Attack = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """An attack with what it needs. ``most_mib``: what its memory may grow by while it lasts; ``flags``: the gateway's.

    ``is_alone``: without honest clients.
    """

    attack: Attack
    most_mib: float = 150
    flags: tuple[str, ...] = ()
    most_files: int | None = None
    is_alone: bool = False


async def carried_out(plan: Plan, size: Size, folder: Path) -> Verdict:
    """Run an attack and judge what all have in common: honest clients, memory, outcomes, the log."""
    verdict, book = Verdict(), Book()
    async with running_engine(book) as engine_port:
        write_routes(folder, {"m": [engine_port]})
        async with running_gateway(folder, *plan.flags, most_files=plan.most_files) as gateway:
            scene = Scene(gateway=gateway, book=book, verdict=verdict, size=size)
            for number in range(_WARM_REQUESTS):
                await asked(scene.port, request(prompt("plain"), more=f"X-Request-Id: warm-{number}\r\n"))
            before = gateway.resident_mib()
            async with watched_memory(gateway) as peak:
                await _beside(scene, plan)
                await gateway.until_at_rest(_REST_SECONDS)
            await _settled(scene, before)
            verdict.figures |= {"MiB before": round(before), "at most": round(peak[0])}
            grown = peak[0] - before
            verdict.expect(f"memory grew by {grown:.0f} MiB, at most {plan.most_mib:g}", holds=grown <= plan.most_mib)
            await _judge_rest(scene)
            await gateway.stop()
            _judge_log(scene)
    return verdict


async def _beside(scene: Scene, plan: Plan) -> None:
    if plan.is_alone:
        await plan.attack(scene)
        return
    async with honest_clients(scene.port) as health:
        await plan.attack(scene)
    scene.verdict.figures |= {"honest": len(health.seconds), "honest p99 ms": health.p99_ms}
    shown = health.failures[:3]
    scene.verdict.expect(f"{len(health.failures)} honest requests failed: {shown}", holds=not health.failures)


async def _settled(scene: Scene, before: float) -> None:
    """Wait until memory is back, ``rest_seconds`` at most, with the traffic that lets an allocator give back."""
    limit, waited = before * 1.2 + 16, 0.0
    while scene.gateway.resident_mib() > limit and waited < scene.size.rest_seconds:
        await asyncio.sleep(_SETTLE_SECONDS)
        waited += _SETTLE_SECONDS
        await asked(scene.port, request(prompt("plain")))
    await scene.gateway.until_at_rest(_REST_SECONDS)
    after = scene.gateway.resident_mib()
    scene.verdict.figures |= {"after": round(after)}
    scene.verdict.expect(f"{after:.0f} MiB are held after it, {before:.0f} before", holds=after <= limit)


async def _judge_rest(scene: Scene) -> None:
    gateway, expect = scene.gateway, scene.verdict.expect
    for name in ("requests_in_flight", "body_bytes", "connections_open", "access_log_dropped_total"):
        value = await gateway.value(name)
        expect(f"{name} is {value:g} at the end", holds=value == 0)
    expect(f"asked again after a byte: {scene.book.repeated[:3]}", holds=not scene.book.repeated)
    answered = await gateway.value("answers_total")
    scene.verdict.figures |= {"outcomes": int(answered)}


def _judge_log(scene: Scene) -> None:
    text, expect = scene.gateway.log_text(), scene.verdict.expect
    traces = text.count("Traceback")
    expect(f"{traces} tracebacks: {text[text.find('Traceback') :][:1500]}", holds=not traces)
    lines = len(scene.gateway.access_lines())
    expected = scene.verdict.figures["outcomes"]
    expect(f"{lines} lines of the access log for {expected} outcomes", holds=lines == expected)
