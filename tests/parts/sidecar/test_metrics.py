"""The sidecar's metrics page beside an engine whose page is large, slow, cut, or none (rayfleet_sidecar.metrics)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from rayfleet.model.engine import MetricMap
from rayfleet.plugin.metric_families import PageForm
from rayfleet.testing.metric_pages import read_classic, read_open
from rayfleet_sidecar.app import make_app
from rayfleet_sidecar.clock import system_clock
from rayfleet_sidecar.metrics.engine_page import EnginePage, PageState
from rayfleet_sidecar.metrics.page import MetricsPage
from rayfleet_sidecar.observation import ReadinessRules
from rayfleet_sidecar.readiness import first_judgement, verdict_of
from rayfleet_sidecar.settings import SidecarSettings
from rayfleet_vllm.metrics import METRICS as VLLM

DATA = Path(__file__).parents[2] / "data"
VLLM_PAGE = (DATA / "vllm-metrics.txt").read_text(encoding="utf-8")
NOBODY = "http://127.0.0.1:9"
MIB = 1 << 20
OPEN = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
# A judge that stands still: nothing but the question asks the engine.
STILL = timedelta(hours=1)
LONG = timedelta(seconds=60)  # beyond what a crowded machine takes


class Untold:
    """Knows no requests."""

    def take(self, page: str, load: int | None) -> None:
        return None


Client = TestClient[web.Request, web.Application]
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Beside:
    """Starts a sidecar beside an engine that answers ``/metrics`` as told; counts how often it is asked."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.asked = 0

    async def engine(self, answer: Answer, metrics: MetricMap = VLLM, limit: timedelta = LONG) -> Client:
        async def counted(request: web.Request) -> web.StreamResponse:
            self.asked += 1
            return await answer(request)

        app = web.Application()
        app.router.add_get("/metrics", counted)
        server = TestServer(app, shutdown_timeout=0.1)
        await server.start_server()
        self._stack.push_async_callback(server.close)
        return await self.sidecar(str(server.make_url("/")).rstrip("/"), metrics, limit)

    async def sidecar(self, engine_url: str, metrics: MetricMap = VLLM, limit: timedelta = LONG) -> Client:
        settings = SidecarSettings(
            engine="vllm", engine_url=engine_url, judge_period=STILL, metric_map=metrics, answer_limit=limit
        )
        client = TestClient(TestServer(make_app(settings, system_clock)))
        await client.start_server()
        self._stack.push_async_callback(client.close)
        return client


@pytest.fixture
async def beside() -> AsyncIterator[Beside]:
    async with AsyncExitStack() as stack:
        yield Beside(stack)


def page(text: str, status: int = 200) -> Answer:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=text, status=status)

    return answer


async def text_of(client: Client, path: str = "/metrics", **headers: str) -> str:
    async with client.get(path, headers=headers) as response:
        assert response.status == 200
        return await response.text()


def state_of(text: str) -> str:
    states = [
        sample.labels["state"]
        for family in read_classic(text)
        if family.name == "rayfleet_sidecar_engine_page_state"
        for sample in family.samples
        if sample.value
    ]
    (state,) = states
    return state


async def test_a_page_is_written_in_the_form_that_is_asked_for(beside: Beside) -> None:
    client = await beside.engine(page(VLLM_PAGE))
    for path in ("/metrics", "/metrics/"):
        async with client.get(path) as response:
            assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            plain = {family.name for family in read_classic(await response.text())}
        async with client.get(path, headers=OPEN) as response:
            assert response.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
            openly = {family.name for family in read_open(await response.text())}
        assert {name for name in plain if not name.endswith("_created")} == openly
        assert {"rayfleet_sidecar_engine_ready", "rayfleet_engine_requests_running", "vllm:request_success"} <= openly


async def test_the_common_metrics_are_told_by_the_map(beside: Beside) -> None:
    text = await text_of(await beside.engine(page(VLLM_PAGE)))
    assert 'rayfleet_engine_generation_tokens_total{engine="vllm"} 2697\n' in text
    assert 'rayfleet_sidecar_common_metric_up{engine="vllm",metric="requests_running"} 1\n' in text


async def test_an_engine_that_nobody_knows_passes_through(beside: Beside) -> None:
    text = await text_of(await beside.engine(page('# TYPE x:a gauge\nx:a{y="1"} 2\n'), MetricMap()))
    assert '# TYPE x:a gauge\nx:a{y="1"} 2\n' in text
    assert "rayfleet_engine_" not in text
    assert state_of(text) == "ok"


@pytest.mark.parametrize(
    ("text", "status", "state", "follows"),
    [
        ("a 1\n", 200, "ok", True),
        ("a 1\nb{x=", 200, "partly", True),
        ('[{"iter": 1}]', 200, "unreadable", False),
        ("", 200, "unreadable", False),
        ("<html>\na 1 2 3 4\n</html>", 200, "unreadable", False),
        ("a 1\n", 503, "refused", False),
        ("a 1\n", 404, "refused", False),
        ("a 1\n" * MIB + "a 2\n", 200, "too_large", False),
    ],
    ids=["good", "cut", "json", "empty", "html", "unwell", "none", "large"],
)
async def test_what_became_of_the_page_is_told(
    beside: Beside, text: str, status: int, state: str, follows: bool
) -> None:
    answer = await text_of(await beside.engine(page(text, status)))
    assert state_of(answer) == state
    assert f'rayfleet_sidecar_engine_page_up{{engine="vllm"}} {int(follows)}\n' in answer
    assert ("\na 1\n" in answer) is follows
    assert 'common_metric_up{engine="vllm",metric="requests_running"} 0\n' in answer


async def test_nobody_there_is_told(beside: Beside) -> None:
    assert state_of(await text_of(await beside.sidecar(NOBODY))) == "unreachable"


async def test_an_engine_may_not_speak_for_the_sidecar(beside: Beside) -> None:
    names = ("rayfleet_sidecar_engine_ready", "rayfleet_engine_requests_running", "rayfleet_requests_in_flight")
    text = await text_of(await beside.engine(page("".join(f"{name} 77\n" for name in names) + "rayfleet_own 77\n")))
    assert text.count(" 77\n") == 1
    assert "rayfleet_own 77\n" in text


async def test_an_engine_that_hangs_is_asked_once_for_all_and_delays_nobody(beside: Beside) -> None:
    released = asyncio.Event()

    async def hanging(request: web.Request) -> web.Response:
        await released.wait()
        return web.Response(text="a 1\n")

    client = await beside.engine(hanging, limit=timedelta(seconds=1))
    scrapes = [asyncio.create_task(text_of(client)) for _ in range(5)]
    await answered_while(client, scrapes)
    assert {state_of(text) for text in await asyncio.gather(*scrapes)} == {"late"}
    assert beside.asked == 1
    released.set()


async def test_a_page_of_50_mib_is_not_read_to_its_end_and_delays_nobody(beside: Beside) -> None:
    written = 0

    async def large(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionResetError):
            for _ in range(50):
                await response.write(b'vllm:x_total{engine="0"} 1234567\n' * (MIB // 32))
                written += 1
        return response

    client = await beside.engine(large)
    scrape = asyncio.create_task(text_of(client))
    assert await answered_while(client, [scrape]) > 0
    assert state_of(await scrape) == "too_large"
    assert written < 40


async def test_a_page_of_megabytes_leaves_the_loop_many_turns() -> None:
    """Read, sorted and written at one go it would leave a handful."""
    text = "".join(f'vllm:x_total{{part="{number}"}} {number}\n' for number in range(20_000))

    class Engine:
        async def page(self) -> EnginePage:
            return EnginePage(state=PageState.OK, text=text, size_bytes=len(text))

        async def load(self) -> int:
            return 0

    verdict = verdict_of(first_judgement(system_clock()), ReadinessRules(), system_clock())
    judge = SimpleNamespace(verdict=lambda: verdict, transitions=0, errors=0, generations={}, traffic=Untold())
    making = asyncio.create_task(
        MetricsPage(Engine(), judge, "vllm", MetricMap(), system_clock).text(PageForm.OPEN_METRICS)
    )
    turns = 0
    while not making.done():
        await asyncio.sleep(0)
        turns += 1
    assert (await making).count("\nvllm:x_total{") == 20_000
    assert turns > 20_000 // 400 * 2


async def answered_while(client: Client, tasks: list[asyncio.Task[str]]) -> int:
    """Ask ``/healthz`` until the tasks are done; return how often it answered."""
    count = 0
    while not all(task.done() for task in tasks):
        async with client.get("/healthz") as response:
            assert response.status == 200
        count += 1
    return count
