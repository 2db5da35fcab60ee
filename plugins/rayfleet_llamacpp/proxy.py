"""The OpenAI API over all servers: pick the least busy, pass bytes through, never show a cut stream as a whole one."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import aiohttp
from aiohttp import web

from rayfleet_llamacpp.membership import RayNode, Slot, Verdict, alive_addresses, dead_addresses
from rayfleet_llamacpp.page import (
    Page,
    ServerTraffic,
    counters,
    merged,
    parse_page,
    render_page,
    steps_taken,
    traffic_page,
)
from rayfleet_llamacpp.pick import least_busy
from rayfleet_llamacpp.wire import (
    demands_a_tool,
    error_body,
    error_event,
    openai_error,
    requested_model,
    split_events,
    without_end,
)

log = logging.getLogger(__name__)

FORWARDED = (
    "/v1/completions",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/messages",
    "/tokenize",
    "/detokenize",
    "/apply-template",
)
_CHAT = "/v1/chat/completions"
# llama.cpp answers in plain words when a template knows no tools, and says nothing of it (ggml-org/llama.cpp#27129).
_NO_TOOL = (
    "The model called no tool, though tool_choice demands it: its chat template has none, or it did not keep to it."
)
_NO_TOOL_CODE = "no_tool_called"
NODE_HEADER = "X-Rayfleet-Node"  # the address of the node that worked on the answer

_KEPT_HEADERS = ("Content-Type", "Cache-Control")
_CONNECT_SECONDS = 5.0
_SCRAPE_SECONDS = 0.5  # the sidecar waits 1 s for the whole page; of a server that hangs it shows the last one
_RETRY_AFTER = {"Retry-After": "1"}


class Members(Protocol):
    """What the proxy must know of the servers; asked anew for every request."""

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The servers' places."""
        ...

    @property
    def nodes(self) -> tuple[RayNode, ...]:
        """Ray's view of its nodes."""
        ...

    @property
    def is_draining(self) -> bool:
        """Whether new requests are refused."""
        ...

    def verdict(self) -> Verdict:
        """Return whether the engine is healthy."""
        ...


class Proxy:
    """Handlers and their counts; everything is on one event loop."""

    def __init__(self, served_model_name: str, session: aiohttp.ClientSession) -> None:
        self._model = served_model_name
        self._session = session
        self._busy: Counter[int] = Counter()
        self._read_slowly: Counter[int] = Counter()
        self._answers = Counter({"ok": 0, "failed": 0})
        self._turns: dict[int, int] = {}
        self._turn = 0
        self._last_pages: dict[str, Page] = {}
        self._of_lost = Page()
        self.replica: Members  # set by the wiring, which makes both

    @property
    def running_requests(self) -> int:
        """How many requests are being answered now."""
        return self._busy.total()

    def routes(self) -> list[web.RouteDef]:
        """Return all routes."""
        return [
            web.get("/health", self._health),
            web.get("/nodes", self._nodes),
            web.get("/metrics", self._metrics),
            web.get("/v1/models", self._models),
            *(web.post(path, self._forward) for path in FORWARDED),
        ]

    def keep_counts(self, lost: Slot) -> None:
        """Keep in the sums what a lost server had counted when it was last asked."""
        page = self._last_pages.pop(lost.url, None)
        if page is not None:
            self._of_lost = merged((self._of_lost, counters(page)))

    async def _health(self, _: web.Request) -> web.Response:
        verdict = self.replica.verdict()
        content = {
            "status": "ok" if verdict.is_healthy else "unavailable",
            "reason": verdict.reason,
            "message": verdict.message,
            "servers": [
                {"index": slot.index, "state": slot.state, "node": slot.node, "pid": slot.pid}
                for slot in self.replica.slots
            ],
        }
        return web.json_response(content, status=200 if verdict.is_healthy else 503)

    async def _nodes(self, _: web.Request) -> web.Response:
        nodes = self.replica.nodes
        return web.json_response({"alive": alive_addresses(nodes), "dead": dead_addresses(nodes)})

    async def _models(self, _: web.Request) -> web.Response:
        model = {"id": self._model, "object": "model", "created": 0, "owned_by": "llamacpp"}
        return web.json_response({"object": "list", "data": [model]})

    async def _metrics(self, _: web.Request) -> web.Response:
        slots = [slot for slot in self.replica.slots if slot.url]
        pages = await asyncio.gather(*(self._page(slot.url) for slot in slots))
        shown = {slot.index: page for slot, page in zip(slots, pages, strict=True) if page is not None}
        servers = [self._traffic(slot.index, shown.get(slot.index)) for slot in self.replica.slots]
        text = render_page(merged((*shown.values(), self._of_lost))) + traffic_page(servers, self._answers)
        return web.Response(text=text, content_type="text/plain", charset="utf-8")

    def _traffic(self, index: int, page: Page | None) -> ServerTraffic:
        read_slowly = self._read_slowly[index]
        steps = None if page is None else steps_taken(page)
        running = self._busy[index] - read_slowly
        return ServerTraffic(index=index, running=running, read_slowly=read_slowly, steps=steps)

    async def _page(self, url: str) -> Page | None:
        try:
            limit = aiohttp.ClientTimeout(total=_SCRAPE_SECONDS)
            async with self._session.get(f"{url}/metrics", timeout=limit) as answer:
                page = parse_page(await answer.text())
        except (aiohttp.ClientError, TimeoutError):
            return self._last_pages.get(url)
        if any(slot.url == url for slot in self.replica.slots):
            self._last_pages[url] = page
        return page

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        refusal = self._refusal(request, body)
        if refusal is not None:
            return refusal
        tried: set[int] = set()
        while True:
            slot = least_busy(self.replica.slots, self._busy, self._turns, tried)
            if slot is None:
                return self._unavailable(has_failed=bool(tried))
            tried.add(slot.index)
            with self._counted(slot):
                answer = await self._answer(request, body, slot)
            if answer is not None:
                return answer

    def _refusal(self, request: web.Request, body: bytes) -> web.Response | None:
        try:
            model = requested_model(body)
        except ValueError as error:
            return _error(400, str(error), "invalid_request_error", "invalid_body")
        if model is not None and model != self._model and request.path.startswith("/v1/"):
            message = f"The model `{model}` does not exist; this engine serves `{self._model}`."
            return _error(404, message, "invalid_request_error", "model_not_found", parameter="model")
        return self._unavailable(has_failed=False) if self.replica.is_draining else None

    def _unavailable(self, *, has_failed: bool) -> web.Response:
        verdict = self.replica.verdict()
        message = "the connection to every server broke" if has_failed else verdict.message
        return _error(503, f"The engine cannot answer now: {message}.", "server_error", verdict.reason or "unavailable")

    @contextmanager
    def _counted(self, slot: Slot) -> Iterator[None]:
        self._busy[slot.index] += 1
        self._turn += 1
        self._turns[slot.index] = self._turn
        try:
            yield
        finally:
            self._busy[slot.index] -= 1

    async def _answer(self, request: web.Request, body: bytes, slot: Slot) -> web.StreamResponse | None:
        """Return the server's answer; ``None`` when it broke before the client was sent a byte, so another may try."""
        limit = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
        headers = {"Content-Type": request.headers.get("Content-Type", "application/json")}
        url = f"{slot.url}{request.path_qs}"
        try:
            async with self._session.post(url, data=body, headers=headers, timeout=limit) as upstream:
                sent = {name: upstream.headers[name] for name in _KEPT_HEADERS if name in upstream.headers}
                sent[NODE_HEADER] = slot.node
                if upstream.content_type != "text/event-stream":
                    content = await upstream.read()
                    self._count(upstream.status)
                    shown = openai_error(content) if upstream.status >= 400 else content
                    if upstream.status < 400 and b'"tool_calls"' not in content and _wants_tool(request, body):
                        return _error(400, _NO_TOOL, "invalid_request_error", _NO_TOOL_CODE, parameter="tool_choice")
                    return web.Response(status=upstream.status, body=shown, headers=sent)
                return await self._stream(request, upstream, sent, slot, owes_tool=_wants_tool(request, body))
        except (aiohttp.ClientError, TimeoutError) as error:
            self._answers["failed"] += 1
            log.warning("server %d broke off before its answer: %s", slot.index, error)
            return None

    def _count(self, status: int) -> None:
        if status < 400 or status >= 500:  # the rest is the client's own doing
            self._answers["ok" if status < 400 else "failed"] += 1

    @contextmanager
    def _handing_over(self, slot: Slot) -> Iterator[None]:
        """Count a request as waiting for its client: one that does not read is no fault of the server."""
        self._read_slowly[slot.index] += 1
        try:
            yield
        finally:
            self._read_slowly[slot.index] -= 1

    async def _stream(
        self,
        request: web.Request,
        upstream: aiohttp.ClientResponse,
        headers: dict[str, str],
        slot: Slot,
        *,
        owes_tool: bool,
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=upstream.status, headers=headers)
        rest = b""
        # Before the client is sent anything: an error here lets the caller try another server.
        chunk = await upstream.content.readany()
        await response.prepare(request)
        try:
            while chunk:
                whole, rest = split_events(rest + chunk)
                owes_tool = owes_tool and b'"tool_calls"' not in whole
                if whole and owes_tool:
                    whole = without_end(whole)
                if whole:
                    with self._handing_over(slot):
                        await response.write(whole)
                chunk = await upstream.content.readany()
            await response.write(rest)
            if owes_tool:
                await response.write(error_event(_NO_TOOL, "invalid_request_error", _NO_TOOL_CODE))
            self._count(upstream.status)
        except aiohttp.ClientPayloadError as error:
            self._answers["failed"] += 1
            log.warning("a stream was cut: %s", error)
            message = "The server that generated this stream was lost; the answer is incomplete."
            await response.write(error_event(message, "server_error", "engine_lost"))
        await response.write_eof()
        return response


def _wants_tool(request: web.Request, body: bytes) -> bool:
    return request.path == _CHAT and demands_a_tool(body)


def _error(status: int, message: str, kind: str, code: str, parameter: str | None = None) -> web.Response:
    headers = _RETRY_AFTER if status == 503 else None
    body = error_body(message, kind, code, parameter)
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)
