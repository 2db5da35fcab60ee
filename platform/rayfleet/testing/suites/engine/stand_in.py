"""A small OpenAI server that stands for an engine: run as a file, with the pod's address and then the engine's words.

It listens at that address if its words name it, on the first number after it among them that is a port, and answers to
every word as a model's name. A stream has a word and then waits for SIGTERM, after which it ends well and the server
with it. Standard library alone.
"""

import json
import re
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_PORT = re.compile(r"(?:.*[:=])?([1-9]\d{3,4})")
_IDLE = threading.Event()
_ASKED_TO_END = threading.Event()


class Handler(BaseHTTPRequestHandler):
    """Answers in HTTP/1.0: the end of an answer is the end of its connection."""

    names: frozenset[str] = frozenset()

    def do_GET(self) -> None:
        """Answer that all is well, whatever the path."""
        self._answer(200, b"")

    def do_POST(self) -> None:
        """Answer with one word; 404 for a name that is no word of the command."""
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        match body:
            case {"model": model} if model not in self.names:
                self._answer(404, json.dumps({"error": f"no {model} among {sorted(self.names)}"}).encode())
            case {"stream": True}:
                self._stream()
            case _:
                self._answer(200, json.dumps(_chunk("Paris", "length")).encode())

    def log_message(self, *_: Any) -> None:
        """Stay silent."""

    def _stream(self) -> None:
        _IDLE.clear()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self._event(json.dumps(_chunk("The", None)))
        _ASKED_TO_END.wait(20)
        self._event(json.dumps(_chunk(" end", "stop")))
        self._event("[DONE]")
        _IDLE.set()

    def _event(self, text: str) -> None:
        self.wfile.write(f"data: {text}\n\n".encode())
        self.wfile.flush()

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def place(address: str, words: list[str]) -> tuple[str, int]:
    """Return where to listen; ValueError when the words name no such address or no port after it."""
    start = next((number for number, word in enumerate(words) if address in word), None)
    if start is None:
        raise ValueError(f"no word names {address}: {words}")
    after = words[start].partition(address)[2]
    ports = (match[1] for word in (after, *words[start + 1 :], *words[:start]) if (match := _PORT.fullmatch(word)))
    port = next(ports, None)
    if port is None:
        raise ValueError(f"no word names a port: {words}")
    return address, int(port)


def main(address: str, words: list[str]) -> None:
    """Serve until SIGTERM, then until what runs has ended."""
    Handler.names = frozenset(words) | {word.partition("=")[2] for word in words}
    server = ThreadingHTTPServer(place(address, words), Handler)
    _IDLE.set()
    signal.signal(signal.SIGTERM, lambda *_: _ASKED_TO_END.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while not _ASKED_TO_END.wait(0.05):
        pass
    _IDLE.wait(20)
    server.server_close()


def _chunk(text: str, reason: str | None) -> dict[str, Any]:
    choice = {"index": 0, "text": text, "finish_reason": reason}
    return {"id": "x", "object": "text_completion", "created": 0, "model": "x", "choices": [choice]}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
