"""Ray's own view of its nodes over HTTP, and a wait for them. Runs in the engine's container.

Its text is passed to ``python3 -c`` by the head script, because stock images hold no rayfleet: standard library and Ray
alone.

``serve HOST PORT NODES``: ``GET /nodes`` answers ``{"alive": [address, ...], "dead": [...]}``, 503 while Ray's head
service is silent. Ends with 1 when a node is lost after that many were alive: what is left of the engine may wait for
the dead rank for ever (vLLM 0.32.0, requests running). Lost is a node whose link ended and that is not back by itself.
``wait HOST PORT NODES SECONDS``: ends with 0 when that many nodes are alive, with 1 after the limit.
``link HOST PORT OWN`` on every other node, from its own address: holds a connection to the head (``GET /link/TOKEN``,
the token is the process's own) and sends a byte a second, which comes back. Ray takes seconds to miss a raylet that was
killed; the end of this connection, which the node's script brings about, is known at once, and until it is held again
the node is not told as alive.

``ray._raylet.GcsClient`` is private (Ray 2.60.0), but needs neither a driver nor the dashboard; Ray Serve reads nodes
the same way. It takes ``RAY_AUTH_MODE`` and ``RAY_AUTH_TOKEN`` from the environment.
"""

import importlib
import json
import os
import queue
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

ALIVE = 0  # GcsNodeInfo.ALIVE of Ray's protocol
ASK_SECONDS = 2
REUSE_SECONDS = 0.5
REPORT_SECONDS = 10.0
BEAT_SECONDS = 1.0
BACK_SECONDS = 2.0  # a link that only broke is held again after half a second
SILENCE_SECONDS = 7.0  # a frozen node is out of service within ten seconds, a crowded one is not


class NodeInfo(Protocol):
    """The fields of Ray's GcsNodeInfo that matter here."""

    @property
    def node_manager_address(self) -> str:
        """The node's address."""

    @property
    def state(self) -> int:
        """ALIVE, or another number."""


def membership(nodes: Iterable[NodeInfo]) -> dict[str, list[str]]:
    """Return addresses, sorted: alive ones, and those that were once and are not now."""
    is_alive: dict[str, bool] = {}
    for node in nodes:
        is_alive[node.node_manager_address] = is_alive.get(node.node_manager_address, False) or node.state == ALIVE
    return {
        "alive": sorted(address for address, alive in is_alive.items() if alive),
        "dead": sorted(address for address, alive in is_alive.items() if not alive),
    }


class Links:
    """The connections of other nodes, by their addresses; ``gone`` are those that had one and have none now.

    The start is when ``expected`` nodes are alive; ``left`` holds the links of those nodes that ended since, each by
    its address and token. A link of a node that Ray did not know then, or an older one, is a former life's.
    """

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._lock = threading.Lock()
        self._held: dict[str, list[str]] = {}
        self._started: dict[str, str] = {}
        self.left: queue.Queue[tuple[str, str]] = queue.Queue()

    def join(self, address: str, token: str) -> None:
        """Note a connection."""
        with self._lock:
            self._held.setdefault(address, []).append(token)

    def leave(self, address: str, token: str) -> None:
        """Note the end of a connection."""
        with self._lock:
            self._held[address].remove(token)
            if self._started.get(address) in {token, ""}:
                self.left.put((address, token))

    def is_back(self, address: str, token: str) -> bool:
        """Whether the same process holds a link of that address."""
        with self._lock:
            return token in self._held[address]

    def without_gone(self, nodes: dict[str, list[str]]) -> dict[str, list[str]]:
        """Return a membership in which those that are gone are dead, whatever Ray says yet."""
        with self._lock:
            gone = {address for address in nodes["alive"] if self._held.get(address) == []}
            alive = [address for address in nodes["alive"] if address not in gone]
            if len(alive) >= self._expected and not self._started:
                self._started = {address: self._held.get(address, [""])[-1] for address in alive}
        return {"alive": alive, "dead": sorted({*nodes["dead"], *gone})}


class View:
    """Asks Ray at most twice a second, whoever asks here; the client is made anew after a failure."""

    def __init__(self, connect: Callable[[], Any], expected: int) -> None:
        self._connect = connect
        self._client: Any = None
        self._lock = threading.Lock()
        self._known: dict[str, list[str]] = {}
        self._known_until = 0.0
        self.links = Links(expected)

    def read(self) -> dict[str, list[str]]:
        """Return the membership; raises whatever Ray's client does."""
        with self._lock:
            if time.monotonic() >= self._known_until:
                try:
                    self._client = self._client or self._connect()
                    self._known = membership(self._client.get_all_node_info(timeout=ASK_SECONDS).values())
                except Exception:
                    self._client = None
                    raise
                self._known_until = time.monotonic() + REUSE_SECONDS
            return self.links.without_gone(self._known)


def make_server(host: str, port: int, view: View, silence_seconds: float = SILENCE_SECONDS) -> ThreadingHTTPServer:
    """Return a bound server; port 0 takes a free one."""

    class Handler(NodesHandler):
        timeout = silence_seconds

        @property
        def view(self) -> View:
            return view

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    return Server((host, port), Handler)


class NodesHandler(BaseHTTPRequestHandler):
    """Answers ``/nodes``, and holds the connection of ``/link/TOKEN``."""

    @property
    def view(self) -> View:
        """What is known of the nodes."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """Answer a question; the name is the base class's."""
        if self.path.startswith("/link/"):
            self._hold(self.client_address[0], self.path.removeprefix("/link/"))
            return
        if self.path != "/nodes":
            self._answer(HTTPStatus.NOT_FOUND, {"error": "there are only /nodes and /link/TOKEN"})
            return
        try:
            self._answer(HTTPStatus.OK, self.view.read())
        except Exception as error:  # noqa: BLE001 - Ray's private client raises many kinds; who asks is told
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": f"{type(error).__name__}: {error}"})

    def _hold(self, address: str, token: str) -> None:
        self.view.links.join(address, token)
        try:
            while beat := self.rfile.read(1):
                self.wfile.write(beat)
        except OSError:  # reset, or silent for too long
            pass
        finally:
            self.view.links.leave(address, token)

    def _answer(self, status: HTTPStatus, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the base class gives
        """Stay silent: the sidecar asks every second."""


def wait_for_nodes(read: Callable[[], int], expected: int, limit_seconds: float, tell: Callable[[str], None]) -> bool:
    """Return whether ``expected`` nodes were alive within the limit.

    ``read`` gives their number, -1 while Ray is silent.
    """
    began = time.monotonic()
    reported, reported_at = -2, began
    while True:
        alive = read()
        now = time.monotonic()
        if alive >= expected:
            tell(f"{alive} of {expected} Ray nodes are alive after {now - began:.0f} s; starting the engine")
            return True
        state = f"{alive} of {expected} Ray nodes are alive" if alive >= 0 else "Ray's head service does not answer yet"
        if now - began > limit_seconds:
            tell(f"{state} after {limit_seconds:.0f} s; giving up (see the logs of the workers)")
            return False
        if alive != reported or now - reported_at >= REPORT_SECONDS:
            tell(f"{state}; waiting, {now - began:.0f} s so far")
            reported, reported_at = alive, now
        time.sleep(0.5)


def hold_link(head: tuple[str, int], own: str, token: str, beat_seconds: float = BEAT_SECONDS) -> None:
    """Hold a connection from ``own`` address to the head until it ends; one that cannot be had has ended."""
    try:
        with socket.create_connection(head, timeout=SILENCE_SECONDS, source_address=(own, 0)) as link:
            link.sendall(f"GET /link/{token} HTTP/1.0\r\n\r\n.".encode())
            while link.recv(1):
                time.sleep(beat_seconds)
                link.sendall(b".")
    except OSError:
        return


def main(words: list[str]) -> int:
    """Serve, wait or hold a link; return the exit code."""
    action, host, port = words[0], words[1], int(words[2])
    token = f"{os.getpid()}-{time.time_ns()}"
    while action == "link":  # for the node's whole life: that of its head is for the node's script to watch
        hold_link((host, port), words[3], token)
        time.sleep(BEAT_SECONDS / 2)
    if action == "wait":
        url = f"http://{host}:{port}/nodes"
        return 0 if wait_for_nodes(lambda: _count(url), int(words[3]), float(words[4]), _tell) else 1
    serve(host, port, View(_connect, int(words[3])))
    os._exit(1)  # at once: the end of the interpreter would meet a thread that is in Ray's client


def serve(host: str, port: int, view: View, back_seconds: float = BACK_SECONDS) -> None:
    """Serve until a node is lost."""
    server = make_server(host, port, view)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while True:
        address, token = view.links.left.get()
        time.sleep(back_seconds)
        if not view.links.is_back(address, token):
            _tell(f"the node at {address} is lost, and the engine with it")
            return


def _count(url: str) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never by way of a proxy
    try:
        with opener.open(url, timeout=ASK_SECONDS + 3) as answer:
            return len(json.load(answer)["alive"])
    except (OSError, ValueError, KeyError):
        return -1


def _connect() -> Any:
    return importlib.import_module("ray._raylet").GcsClient(address=os.environ["RAY_ADDRESS"])


def _tell(line: str) -> None:
    sys.stderr.write(f"rayfleet: {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
