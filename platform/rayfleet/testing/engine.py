"""A fake inference engine that speaks the real protocol, for speed and for faults.

``/health``, ``/nodes``, ``/v1/models``, ``/v1/completions`` and ``/v1/chat/completions`` (plain and streamed,
``stream_options.include_usage``), ``/metrics``, ``/load``. Its answers are shaped as vLLM 0.32's are, and the real
``openai`` package reads them (tests/parts/testing/test_engine.py); tests/e2e/test_sidecar_real_engine.py holds the
sidecar to a real engine as well.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from aiohttp import web

from rayfleet.model.json import Json

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Fault(StrEnum):
    """What is wrong with the engine."""

    NONE = "none"
    LOADING = "loading"  # health says 503, as llama.cpp while it loads
    UNWELL = "unwell"  # health says 503, as vLLM after EngineDeadError
    HANGS = "hangs"  # health says 200 and no request is answered, as vLLM with a frozen node
    FROZEN = "frozen"  # connections are taken and nothing at all is answered, as a stopped process
    BREAKS = "breaks"  # requests are answered with 500
    DIES_MID_STREAM = "dies-mid-stream"  # the connection breaks after the first token
    ERROR_IN_STREAM = "error-in-stream"  # an error event and then [DONE], as vLLM when a rank dies


@dataclass(slots=True)
class FakeEngine:
    """Change ``fault``, ``api_key`` and ``alive_nodes`` while it runs.

    ``requests`` counts generations asked for, ``aborted`` those left, ``health_checks`` the questions after its health,
    ``page_reads`` those after its metrics.

    ``is_page_late``: the page does not know the requests that run, as vLLM's before a first step with them has ended;
    ``/load`` does. With an ``api_key`` everything under ``/v1`` wants it as a bearer token, as vLLM's ``--api-key``.
    ``page`` is added to ``/metrics``.
    """

    model: str = "fake"
    words: tuple[str, ...] = ("The ", "capital ", "of ", "France ", "is ", "Paris.")
    fault: Fault = Fault.NONE
    alive_nodes: tuple[str, ...] = ()
    token_seconds: float = 0.0
    api_key: str = ""
    page: str = ""
    is_page_late: bool = False
    url: str = ""
    requests: int = 0
    running: int = 0
    aborted: int = 0
    health_checks: int = 0
    page_reads: int = 0
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application(middlewares=[self._guarded])
        app.router.add_get("/health", self._health)
        app.router.add_get("/nodes", self._nodes)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/load", self._load)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/completions", self._generate)
        app.router.add_post("/v1/chat/completions", self._generate)
        return app

    def release(self) -> None:
        """Let requests that hang end."""
        self._released.set()

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self.fault is Fault.FROZEN:
            await self._released.wait()
        is_stranger = self.api_key and request.headers.get("Authorization") != f"Bearer {self.api_key}"
        if is_stranger and request.path.startswith("/v1/"):
            return web.json_response({"error": "Unauthorized"}, status=401)
        return await handler(request)

    async def _health(self, request: web.Request) -> web.Response:
        self.health_checks += 1
        if self.fault is Fault.LOADING:
            error = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
            return web.json_response(error, status=503)
        if self.fault is Fault.UNWELL:
            return web.Response(status=503)
        return web.Response()

    async def _nodes(self, request: web.Request) -> web.Response:
        return web.json_response({"alive": list(self.alive_nodes), "dead": []})

    async def _metrics(self, request: web.Request) -> web.Response:
        self.page_reads += 1
        running = 0 if self.is_page_late else self.running
        return web.Response(
            text=f"# TYPE fake:requests_running gauge\nfake:requests_running {running}\n"
            f"# TYPE fake:requests_total counter\nfake:requests_total {self.requests}\n{self.page}"
        )

    async def _load(self, request: web.Request) -> web.Response:
        return web.json_response({"server_load": self.running})

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": self.model, "object": "model", "created": 0}]})

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests += 1
        if body.get("model") != self.model:
            error = {
                "message": f"The model `{body.get('model')}` does not exist.",
                "type": "NotFoundError",
                "code": 404,
            }
            return web.json_response({"error": error}, status=404)
        self.running += 1
        try:
            if self.fault is Fault.HANGS:
                await self._released.wait()
            if self.fault is Fault.BREAKS:
                return web.json_response({"error": {"message": "EngineDeadError", "code": 500}}, status=500)
            answer = _Answer(engine=self, is_chat=request.path.endswith("/chat/completions"), body=body)
            if body.get("stream"):
                return await self._streamed(request, answer)
            await asyncio.sleep(self.token_seconds * len(answer.words))
            return web.json_response(answer.whole())
        except (asyncio.CancelledError, ConnectionResetError):
            self.aborted += 1
            raise
        finally:
            self.running -= 1

    async def _streamed(self, request: web.Request, answer: "_Answer") -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for index, piece in enumerate(answer.pieces()):
            await response.write(_event(piece))
            await asyncio.sleep(self.token_seconds)
            if index == 0 and self.fault is Fault.DIES_MID_STREAM and request.transport is not None:
                request.transport.abort()
                return response
            if index == 0 and self.fault is Fault.ERROR_IN_STREAM:
                await response.write(_event({"error": {"message": "EngineCore died", "code": 500}}))
                break
        await response.write(b"data: [DONE]\n\n")
        return response


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What is said to one request: the engine's words, as many as ``max_tokens`` lets through, one token each."""

    engine: FakeEngine
    is_chat: bool
    body: Json

    @property
    def words(self) -> tuple[str, ...]:
        most = self.body.get("max_completion_tokens") or self.body.get("max_tokens")
        return self.engine.words[: most or len(self.engine.words)]

    def whole(self) -> Json:
        """Return the answer in one piece."""
        text = "".join(self.words)
        choice = {"message": {"role": "assistant", "content": text}} if self.is_chat else {"text": text}
        kind = "chat.completion" if self.is_chat else "text_completion"
        return self._envelope(kind, [{"index": 0, "finish_reason": self._finish_reason(), **choice}]) | self._usage()

    def pieces(self) -> list[Json]:
        """Return the events of a stream, without ``[DONE]``.

        One for each token, the finish reason in the last, then usage if wanted.
        """
        kind = "chat.completion.chunk" if self.is_chat else "text_completion"
        pieces = []
        for index, word in enumerate(self.words):
            role = {"role": "assistant"} if index == 0 else {}
            choice: Json = {"delta": {**role, "content": word}} if self.is_chat else {"text": word}
            reason = self._finish_reason() if index == len(self.words) - 1 else None
            pieces.append(self._envelope(kind, [{"index": 0, "finish_reason": reason, **choice}]))
        if (self.body.get("stream_options") or {}).get("include_usage"):
            pieces.append(self._envelope(kind, []) | self._usage())
        return pieces

    def _finish_reason(self) -> str:
        return "length" if len(self.words) < len(self.engine.words) else "stop"

    def _usage(self) -> Json:
        tokens = len(self.words)
        return {"usage": {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": 1 + tokens}}

    def _envelope(self, kind: str, choices: list[Json]) -> Json:
        return {"id": "fake-1", "object": kind, "created": 0, "model": self.engine.model, "choices": choices}


@asynccontextmanager
async def fake_engine(engine: FakeEngine | None = None) -> AsyncIterator[FakeEngine]:
    """Run an engine on a free loopback port; its ``url`` is set. Requests that hang end with it."""
    engine = engine or FakeEngine()
    runner = web.AppRunner(engine.app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    engine.url = f"http://{host}:{port}"
    try:
        yield engine
    finally:
        engine.release()
        await runner.cleanup()


def _event(content: Json) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"
