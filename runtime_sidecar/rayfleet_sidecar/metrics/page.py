"""Makes the page at each question, and never lets the event loop wait for it.

The engine is asked once for all who ask meanwhile; its page is read, sorted and written in steps. Whatever becomes of
it, the sidecar's own series are there and say so.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from rayfleet.model.engine import MetricMap
from rayfleet.plugin.metric_families import Family, PageForm, accepted_form, grouping, rendering
from rayfleet.plugin.metric_page import MetricPage, reading
from rayfleet_sidecar.clock import Clock
from rayfleet_sidecar.metrics.common import PREFIX, common_families, mapped
from rayfleet_sidecar.metrics.engine_page import EnginePage, PageState
from rayfleet_sidecar.metrics.own_families import OWN_NAMES, Judged, PageReport, judge_families, page_families
from rayfleet_sidecar.metrics.slices import in_slices

_FOREIGN = (*OWN_NAMES, PREFIX)


class Pages(Protocol):
    """Where the engine's page comes from."""

    async def page(self) -> EnginePage:
        """Return the page as it came, or why it did not; ends within a limit of its own."""
        ...

    async def load(self) -> int | None:
        """Return how many requests the port has taken up, None when it does not answer; ends within such a limit."""
        ...


class Requests(Protocol):
    """Who knows the engine's requests from its page."""

    def take(self, page: str, load: int | None) -> int | None:
        """Take in what was read just now; return how many requests are in flight, None when nobody can tell."""
        ...


class JudgedTraffic(Judged, Protocol):
    """The judge, and what it knows of requests."""

    @property
    def traffic(self) -> Requests:
        """The engine's requests."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    report: PageReport
    in_flight: int | None
    families: tuple[Family, ...]


class MetricsPage:
    """``metrics`` says where the engine's page tells what every engine tells."""

    def __init__(self, pages: Pages, judge: JudgedTraffic, engine: str, metrics: MetricMap, clock: Clock) -> None:
        self._pages = pages
        self._judge = judge
        self._engine = engine
        self._metrics = metrics
        self._clock = clock
        self._reading: asyncio.Task[_Reading] | None = None

    async def text(self, form: PageForm) -> str:
        """Return the page: ours, the common series, the engine's own."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        read = await asyncio.shield(self._reading)
        own = (
            *judge_families(self._judge, self._engine, self._clock()),
            *page_families(read.report, self._engine, read.in_flight),
        )
        return await in_slices(rendering((*own, *read.families), form))

    async def aclose(self) -> None:
        """End a reading that is under way."""
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading

    async def _read(self) -> _Reading:
        came, load = await asyncio.gather(self._pages.page(), self._pages.load())
        in_flight = self._judge.traffic.take(came.text, load)
        page = await in_slices(reading(came.text))
        families = await in_slices(grouping(page, foreign=_FOREIGN))
        common = common_families(page.samples, self._metrics, self._engine)
        names = {each.name for each in common}
        report = PageReport(
            state=_state(came.state, page),
            size_bytes=came.size_bytes,
            seconds=came.seconds,
            broken_lines=len(page.broken_lines),
            common=tuple((name, PREFIX + name in names) for name in mapped(self._metrics)),
        )
        return _Reading(
            report=report,
            in_flight=in_flight,
            families=(*common, *families),
        )


def _state(came: PageState, page: MetricPage) -> PageState:
    """Return what became of a page, now that it is read too."""
    if came is not PageState.OK:
        return came
    if not page.samples:
        return PageState.UNREADABLE
    return PageState.PARTLY if page.broken_lines else PageState.OK


PAGE: web.AppKey[MetricsPage] = web.AppKey("metrics page", MetricsPage)


def add_metrics(app: web.Application, make: Callable[[], MetricsPage]) -> None:
    """Let the application answer ``/metrics``; ``make`` is called when it starts, after what was added before."""

    async def running(app: web.Application) -> AsyncIterator[None]:
        app[PAGE] = make()
        yield
        await app[PAGE].aclose()

    app.cleanup_ctx.append(running)
    # The trailing slash is aibrix_runtime's, which answers the other with 307.
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/metrics/", _metrics)


async def _metrics(request: web.Request) -> web.Response:
    form = accepted_form(",".join(request.headers.getall("Accept", ())))
    text = await request.app[PAGE].text(form)
    return web.Response(body=text.encode(), headers={"Content-Type": form.value})
