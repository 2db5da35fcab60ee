"""An engine for real clients: every path that OpenAI's and Anthropic's packages ask, each answer telling what came.

What an answer tells is a digest of the request as it arrived, so that a gateway which changes it is seen. The header
``x-say`` asks for something else than a good answer: a status, ``error-event``, ``silence``. Its shapes are those of
the packages' own types (openai 3.57, anthropic 2.14).
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from rayfleet.model.json import Json

_ERROR_EVENT = {"error": {"message": "EngineCore died", "type": "InternalServerError", "param": None, "code": 500}}
_USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
_ANTHROPIC_USAGE = {"input_tokens": 1, "output_tokens": 2}


@asynccontextmanager
async def client_engine() -> AsyncIterator[str]:
    """Run the engine on a free loopback port; give its URL, without a path."""
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{path:.*}", _answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _answer(request: web.Request) -> web.StreamResponse:
    content, digest = await _read(request)
    wish = request.headers.get("x-say", "")
    if wish == "silence":
        await asyncio.Event().wait()
    if wish.isdigit():
        return web.json_response(_error(request.path, int(wish)), status=int(wish))
    if request.path == "/v1/audio/speech":
        return web.Response(body=digest.encode() + b"\x00\xff", content_type="audio/mpeg")
    whole = _WHOLE[request.path](content, digest)
    if not content.get("stream"):
        return web.json_response(whole, headers={"x-engine": "here"})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for name, event in _events(request.path, content, digest, has_error=wish == "error-event"):
        text = event if isinstance(event, str) else json.dumps(event)
        await response.write((f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode())
    return response


async def _read(request: web.Request) -> tuple[Json, str]:
    """Return the fields of a request, and a digest of all of it; a form's boundary is the client's whim."""
    if request.content_type.startswith("multipart/"):
        form = await request.post()
        parts = [
            (name, value.file.read() if isinstance(value, web.FileField) else str(value).encode())
            for name, value in form.items()
        ]
        content: Json = {name: value.decode() for name, value in parts if name in {"model", "stream"}}
        digested = repr(parts).encode()
    else:
        digested = await request.read()
        content = json.loads(digested) if digested else {}
    names = ("authorization", "x-api-key", "x-own", "anthropic-version", "content-type")
    headers = [(name, request.headers.get(name, "").partition(";")[0]) for name in names]
    return content, hashlib.sha256(repr((request.path_qs, headers)).encode() + digested).hexdigest()[:16]


def _error(path: str, status: int) -> Json:
    if path.startswith("/v1/messages"):
        return {"type": "error", "error": {"type": "api_error", "message": f"no: {status}"}}
    return {"error": {"message": f"no: {status}", "type": "own", "param": "x", "code": f"own_{status}"}}


def _envelope(kind: str, content: Json, **more: object) -> Json:
    return {"id": "x-1", "object": kind, "created": 1, "model": content.get("model", ""), **more}


def _completion(content: Json, digest: str) -> Json:
    choice = {"index": 0, "text": digest, "finish_reason": "stop", "logprobs": None}
    return _envelope("text_completion", content, choices=[choice], usage=_USAGE)


def _chat(content: Json, digest: str) -> Json:
    message: Json = {"role": "assistant", "content": digest, "refusal": None}
    if content.get("tools"):
        call = {"id": "c-1", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}
        message["tool_calls"] = [call]
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return _envelope("chat.completion", content, choices=[choice], usage=_USAGE)


def _embeddings(content: Json, digest: str) -> Json:
    data = [{"object": "embedding", "index": 0, "embedding": [int(digest[:4], 16) / 7, 0.5]}]
    return {"object": "list", "data": data, "model": content["model"], "usage": {"prompt_tokens": 1, "total_tokens": 1}}


def _response(content: Json, digest: str) -> Json:
    text = {"type": "output_text", "text": digest, "annotations": []}
    message = {"id": "m-1", "type": "message", "role": "assistant", "status": "completed", "content": [text]}
    more = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "error": None, "incomplete_details": None}
    kept: Json = {"id": "r-1", "object": "response", "created_at": 1, "status": "completed", "output": [message]}
    return {**kept, "model": content["model"], "instructions": None, "metadata": {}, **more}


def _message(content: Json, digest: str) -> Json:
    text = {"type": "text", "text": digest}
    kept: Json = {"id": "m-1", "type": "message", "role": "assistant", "content": [text], "model": content["model"]}
    return {**kept, "stop_reason": "end_turn", "stop_sequence": None, "usage": _ANTHROPIC_USAGE}


_WHOLE: dict[str, Callable[[Json, str], Json]] = {
    "/v1/completions": _completion,
    "/v1/chat/completions": _chat,
    "/v1/embeddings": _embeddings,
    "/v1/responses": _response,
    "/v1/messages": _message,
    "/v1/messages/count_tokens": lambda _, digest: {"input_tokens": int(digest[:4], 16)},
    "/v1/moderations": lambda content, digest: {"id": digest, "model": content["model"], "results": []},
    "/v1/audio/transcriptions": lambda _, digest: {"text": digest},
    "/v1/audio/translations": lambda _, digest: {"text": digest},
    "/v1/images/generations": lambda _, digest: {"created": 1, "data": [{"b64_json": digest}]},
    "/v1/images/edits": lambda _, digest: {"created": 1, "data": [{"b64_json": digest}]},
}


def _events(path: str, content: Json, digest: str, *, has_error: bool) -> list[tuple[str, Json | str]]:
    """Return (name, data) of each event."""
    if path == "/v1/messages":
        return _message_events(content, digest, has_error=has_error)
    if path == "/v1/responses":
        whole = _response(content, digest)
        began = {"type": "response.created", "sequence_number": 0, "response": {**whole, "status": "in_progress"}}
        done = {"type": "response.completed", "sequence_number": 1, "response": whole}
        return [("response.created", began), ("response.completed", done)]
    pieces: list[Json] = []
    for word in (digest[:8], digest[8:]):
        is_chat = path.endswith("/chat/completions")
        choice: Json = {"delta": {"role": "assistant", "content": word}} if is_chat else {"text": word}
        kind = "chat.completion.chunk" if is_chat else "text_completion"
        pieces.append(_envelope(kind, content, choices=[{"index": 0, "finish_reason": None, **choice}]))
    if (content.get("stream_options") or {}).get("include_usage"):
        pieces.append({**pieces[0], "choices": [], "usage": _USAGE})
    if has_error:
        pieces[1:] = [_ERROR_EVENT]
    return [*(("", piece) for piece in pieces), ("", "[DONE]")]


def _message_events(content: Json, digest: str, *, has_error: bool) -> list[tuple[str, Json | str]]:
    whole = _message(content, digest)
    events: list[Json] = [{"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}}]
    if has_error:
        events.append({"type": "error", "error": {"type": "api_error", "message": "EngineCore died"}})
    else:
        delta = {"type": "text_delta", "text": digest}
        reason = {"stop_reason": "end_turn", "stop_sequence": None}
        events += [
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": reason, "usage": _ANTHROPIC_USAGE},
            {"type": "message_stop"},
        ]
    return [(str(event["type"]), event) for event in events]
