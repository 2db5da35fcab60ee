"""A fake inference engine that speaks the real protocol, for speed and for faults.

``/health``, ``/nodes``, ``/v1/models``, ``/v1/completions`` and ``/v1/chat/completions`` (plain and streamed), ``/metrics``. Its answers are shaped as
vLLM's and llama.cpp's are; tests/e2e/test_sidecar_real_engine.py holds the sidecar to a real one beside it.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from aiohttp import web


class Fault(StrEnum):
    """What is wrong with the engine."""

    NONE = "none"
    LOADING = "loading"  # health says 503, as llama.cpp while it loads
    UNWELL = "unwell"  # health says 503, as vLLM after EngineDeadError
    HANGS = "hangs"  # health says 200 and no request is answered, as vLLM with a frozen node
    BREAKS = "breaks"  # requests are answered with 500
    DIES_MID_STREAM = "dies-mid-stream"  # the connection breaks after the first token
    ERROR_IN_STREAM = "error-in-stream"  # an error event and then [DONE], as vLLM when a rank dies


@dataclass(slots=True)
class FakeEngine:
    """Change ``fault`` and ``alive_nodes`` while it runs. ``requests`` counts generations asked for, ``aborted`` those left."""

    model: str = "fake"
    words: tuple[str, ...] = ("The ", "capital ", "of ", "France ", "is ", "Paris.")
    fault: Fault = Fault.NONE
    alive_nodes: tuple[str, ...] = ()
    token_seconds: float = 0.0
    url: str = ""
    requests: int = 0
    running: int = 0
    aborted: int = 0
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application()
        app.router.add_get("/health", self._health)
        app.router.add_get("/nodes", self._nodes)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/completions", self._generate)
        app.router.add_post("/v1/chat/completions", self._generate)
        return app

    def release(self) -> None:
        """Let requests that hang end."""
        self._released.set()

    async def _health(self, request: web.Request) -> web.Response:  # noqa: ARG002 - aiohttp's signature
        if self.fault is Fault.LOADING:
            error = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
            return web.json_response(error, status=503)
        if self.fault is Fault.UNWELL:
            return web.Response(status=503)
        return web.Response()

    async def _nodes(self, request: web.Request) -> web.Response:  # noqa: ARG002 - aiohttp's signature
        return web.json_response({"alive": list(self.alive_nodes), "dead": []})

    async def _metrics(self, request: web.Request) -> web.Response:  # noqa: ARG002 - aiohttp's signature
        return web.Response(
            text=f"# TYPE fake:requests_running gauge\nfake:requests_running {self.running}\n"
            f"# TYPE fake:requests_total counter\nfake:requests_total {self.requests}\n"
        )

    async def _models(self, request: web.Request) -> web.Response:  # noqa: ARG002 - aiohttp's signature
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
            is_chat = request.path.endswith("/chat/completions")
            words = self.words[: body.get("max_tokens") or len(self.words)]
            if body.get("stream"):
                return await self._streamed(request, words, is_chat=is_chat)
            await asyncio.sleep(self.token_seconds * len(words))
            return web.json_response(self._whole(words, is_chat=is_chat))
        except (asyncio.CancelledError, ConnectionResetError):
            self.aborted += 1
            raise
        finally:
            self.running -= 1

    async def _streamed(self, request: web.Request, words: tuple[str, ...], *, is_chat: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for index, word in enumerate(words):
            await response.write(_event(self._piece(word, is_chat=is_chat)))
            await asyncio.sleep(self.token_seconds)
            if index == 0 and self.fault is Fault.DIES_MID_STREAM and request.transport is not None:
                request.transport.abort()
                return response
            if index == 0 and self.fault is Fault.ERROR_IN_STREAM:
                await response.write(_event({"error": {"message": "EngineCore died", "code": 500}}))
                break
        await response.write(b"data: [DONE]\n\n")
        return response

    def _whole(self, words: tuple[str, ...], *, is_chat: bool) -> dict[str, Any]:
        text = "".join(words)
        choice = {"message": {"role": "assistant", "content": text}} if is_chat else {"text": text}
        usage = {"prompt_tokens": 1, "completion_tokens": len(words), "total_tokens": 1 + len(words)}
        kind = "chat.completion" if is_chat else "text_completion"
        return self._envelope(kind, {"index": 0, "finish_reason": "stop", **choice}) | {"usage": usage}

    def _piece(self, word: str, *, is_chat: bool) -> dict[str, Any]:
        choice = {"delta": {"content": word}} if is_chat else {"text": word}
        kind = "chat.completion.chunk" if is_chat else "text_completion"
        return self._envelope(kind, {"index": 0, "finish_reason": None, **choice})

    def _envelope(self, kind: str, choice: dict[str, Any]) -> dict[str, Any]:
        return {"id": "fake-1", "object": kind, "created": 0, "model": self.model, "choices": [choice]}


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


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"
