"""What ``aibrix_runtime`` answers under its own paths beyond what the sidecar does anyway: one stands in for the other.

``/v1/models`` is the engine's answer; where there is none, the status and the reason are the true ones. Its other paths
belong to features that this sidecar does not have: they answer 501 and say who does it here instead. Errors have
aibrix_runtime's one shape for them, ``{"object": "error", ...}``. Source: aibrix 0.8.0, ``app.py`` and
``runtime/model_runtime_api.py``.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from aiohttp import web

_ADAPTERS = "this sidecar loads no LoRA adapters; ask the engine itself, on its own port"
_DOWNLOADS = (
    "this sidecar downloads no models; a fleet's pods bring theirs before the engine starts (spec.serving.model)"
)
_LIFE = "this sidecar runs beside one engine, which the fleet starts and ends; it manages no engines of its own"
LATER: Mapping[tuple[str, str], str] = {
    ("POST", "/v1/lora_adapter/load"): _ADAPTERS,
    ("POST", "/v1/lora_adapter/unload"): _ADAPTERS,
    ("POST", "/v1/model/download"): _DOWNLOADS,
    ("GET", "/v1/model/list"): _DOWNLOADS,
    ("POST", "/v1/runtime/models/activate"): _LIFE,
    ("POST", "/v1/runtime/models/deactivate"): _LIFE,
    ("POST", "/v1/runtime/models/kv-limit"): _LIFE,
    ("POST", "/v1/runtime/models/sleep"): _LIFE,
    ("POST", "/v1/runtime/models/wake"): _LIFE,
    ("GET", "/v1/runtime/models"): _LIFE,
    ("GET", "/v1/runtime/snapshot"): _LIFE,
}
"""Why a request is not answered, by method and path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineAnswer:
    """What the engine answered; ``status`` 0: nothing, and ``failure`` says why, ``is_late`` when for want of time."""

    status: int = 0
    text: str = ""
    failure: str = ""
    is_late: bool = False


class Models(Protocol):
    """Who can ask the engine for its models."""

    async def models(self, authorization: str) -> EngineAnswer:
        """Return its answer; ``authorization`` is the caller's, empty for the sidecar's own. Ends within a limit."""
        ...


def add_aibrix(app: web.Application, engine: Callable[[], Models]) -> None:
    """Let the application answer under aibrix_runtime's paths; ``engine`` is asked for when it runs."""

    async def models(request: web.Request) -> web.Response:
        return models_answer(await engine().models(request.headers.get("Authorization", "")))

    app.router.add_get("/v1/models", models)
    for (method, path), reason in LATER.items():
        app.router.add_route(method, path, _later(reason))


def models_answer(answer: EngineAnswer) -> web.Response:
    """Return what is told of the engine's answer to ``/v1/models``: itself when it is JSON, else a reason."""
    if answer.is_late:
        return _error(HTTPStatus.GATEWAY_TIMEOUT, "TimeoutError", f"the engine: {answer.failure}")
    if not answer.status:
        return _error(HTTPStatus.BAD_GATEWAY, "ConnectionError", f"the engine: {answer.failure}")
    try:
        json.loads(answer.text)
    except ValueError:
        words = f"the engine answered with status {answer.status} and no JSON"
        return _error(HTTPStatus.BAD_GATEWAY, "ServerError", words)
    return web.Response(status=answer.status, text=answer.text, content_type="application/json")


def _later(reason: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:  # noqa: ARG001 - aiohttp's signature; no body is read
        return _error(HTTPStatus.NOT_IMPLEMENTED, "NotImplementedError", reason)

    return answer


def _error(status: HTTPStatus, kind: str, message: str) -> web.Response:
    content = {"object": "error", "message": message, "type": kind, "param": None, "code": int(status)}
    return web.Response(status=status, text=json.dumps(content) + "\n", content_type="application/json")
