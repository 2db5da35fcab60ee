"""Which ranks of a replica without Ray are there: a start together, and an end together. Runs in engines' containers.

Its text is passed to ``python3 -c`` by the scripts of ``rayfleet.plugin.rank_frame``, because stock images hold no
rayfleet: standard library alone.

``serve HOST PORT NODES`` on the head: every other rank holds one connection to it (``GET /join/RANK``) and sends a byte
a second, which comes back. Ends with 1 when a rank is lost after all have started: what is left of the engine would
answer its health check for ever (vLLM 0.32.0 without Ray, idle). ``GET /nodes`` answers
``{"alive": [address, ...], "dead": [...]}``.
``join HOST PORT RANK SECONDS OWN`` on the others, from their own address: ends with 1 when the head is lost, or not
there within the limit.
``wait HOST PORT RANK NODES SECONDS`` on every node, once its model is there: ends with 0 when all ranks wait, with 1
after the limit. Engines give up on one another after minutes, which the bringing of a model can take.
"""

import json
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BEAT_SECONDS = 1.0
SILENCE_SECONDS = 7.0  # a crowded machine may be late; a frozen one is out of service within ten seconds
REPORT_SECONDS = 10.0


class Ranks:
    """What the head knows of the other ranks; ``lost`` holds what is lost after the start, in words."""

    def __init__(self, host: str, nodes: int) -> None:
        self._host = host
        self._nodes = nodes
        self._lock = threading.Lock()
        self._linked: dict[int, str] = {}
        self._dead: set[str] = set()
        self._waiting: set[int] = set()
        self._is_started = False
        self.lost: queue.Queue[str] = queue.Queue()

    def join(self, rank: int, address: str) -> bool:
        """Note the connection of a rank; False for one that has another connection, or that does not exist."""
        with self._lock:
            if rank in self._linked or not 0 < rank < self._nodes:
                return False
            self._linked[rank] = address
            self._dead.discard(address)
            return True

    def leave(self, rank: int) -> None:
        """Note that the connection of a rank ended. Before the start it may come again."""
        with self._lock:
            address = self._linked.pop(rank)
            self._dead.add(address)
            self._waiting.discard(rank)
            if self._is_started:
                self.lost.put(f"rank {rank} ({address})")

    def wait(self, rank: int) -> int:
        """Note that a rank is ready to start; return how many are."""
        with self._lock:
            if 0 <= rank < self._nodes:
                self._waiting.add(rank)
            self._is_started = self._is_started or len(self._waiting) == self._nodes
            return self._nodes if self._is_started else len(self._waiting)

    def membership(self) -> dict[str, list[str]]:
        """Return addresses, sorted: those that are linked and the head's own, and those that were."""
        with self._lock:
            return {"alive": sorted({self._host, *self._linked.values()}), "dead": sorted(self._dead)}


def make_server(host: str, port: int, ranks: Ranks, silence_seconds: float = SILENCE_SECONDS) -> ThreadingHTTPServer:
    """Return a bound server; port 0 takes a free one."""

    class Handler(RankHandler):
        timeout = silence_seconds

        @property
        def ranks(self) -> Ranks:
            return ranks

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    return Server((host, port), Handler)


class RankHandler(BaseHTTPRequestHandler):
    """Answers ``/nodes`` and ``/wait/RANK``, and holds the connection of ``/join/RANK``."""

    @property
    def ranks(self) -> Ranks:
        """What the head knows of the other ranks."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """Answer a question; the name is the base class's."""
        what, _, rank = self.path.removeprefix("/").partition("/")
        if what == "nodes":
            self._answer(HTTPStatus.OK, self.ranks.membership())
        elif what == "wait" and rank.isdecimal():
            self._answer(HTTPStatus.OK, self.ranks.wait(int(rank)))
        elif what == "join" and rank.isdecimal() and self.ranks.join(int(rank), self.client_address[0]):
            self._hold(int(rank))
        else:
            self._answer(HTTPStatus.CONFLICT, {"error": "/nodes, /wait/RANK, or /join/RANK of a rank not joined"})

    def _hold(self, rank: int) -> None:
        try:
            self.send_response(HTTPStatus.OK)
            self.end_headers()
            while beat := self.rfile.read(1):
                self.wfile.write(beat)
        except OSError:  # reset, or silent for too long
            pass
        finally:
            self.ranks.leave(rank)

    def _answer(self, status: HTTPStatus, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the base class gives
        """Stay silent: ranks ask twice a second while they wait."""


def serve(host: str, port: int, nodes: int) -> int:
    """Serve until a rank is lost; return 1."""
    ranks = Ranks(host, nodes)
    server = make_server(host, port, ranks)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _tell(f"{ranks.lost.get()} is lost, and the engine with it")
    return 1


def join(head: tuple[str, int], rank: int, limit_seconds: float, own: str, beat_seconds: float = BEAT_SECONDS) -> int:
    """Hold a connection from ``own`` address to the head until it ends; return 1."""
    began = time.monotonic()
    while True:
        try:
            link = _asked(head, f"/join/{rank}", own)
        except OSError as error:
            if time.monotonic() - began > limit_seconds:
                _tell(f"no head at {head[0]} for {limit_seconds:.0f} s ({error}); ending this rank")
                return 1
            time.sleep(beat_seconds / 2)
            continue
        with link:
            _beat(link, beat_seconds)
        _tell(f"the head at {head[0]} is lost; ending this rank")
        return 1


def wait(read: Callable[[], int], nodes: int, limit_seconds: float) -> int:
    """Return 0 once ``read`` gives ``nodes`` (-1 while the head is silent), 1 after the limit."""
    began = time.monotonic()
    reported, reported_at = -2, began
    while True:
        ready, now = read(), time.monotonic()
        if ready >= nodes:
            _tell(f"{ready} of {nodes} ranks are ready after {now - began:.0f} s; starting the engine")
            return 0
        state = f"{ready} of {nodes} ranks are ready" if ready >= 0 else "the head does not answer yet"
        if now - began > limit_seconds:
            _tell(f"{state} after {limit_seconds:.0f} s; giving up (see the logs of the other nodes)")
            return 1
        if ready != reported or now - reported_at >= REPORT_SECONDS:
            _tell(f"{state}; waiting, {now - began:.0f} s so far")
            reported, reported_at = ready, now
        time.sleep(BEAT_SECONDS / 2)


def waiting_ranks(head: tuple[str, int], rank: int) -> int:
    """Tell the head that a rank is ready; return how many are, -1 while the head is silent."""
    try:
        with _asked(head, f"/wait/{rank}") as link, link.makefile("rb") as answer:
            return int(answer.read().partition(b"\r\n\r\n")[2])
    except (OSError, ValueError):
        return -1


def main(words: list[str]) -> int:
    """Do as the words say; return the exit code."""
    action, host, port, number = words[0], words[1], int(words[2]), int(words[3])
    if action == "serve":
        return serve(host, port, number)
    if action == "join":
        return join((host, port), number, float(words[4]), words[5])
    return wait(lambda: waiting_ranks((host, port), number), int(words[4]), float(words[5]))


def _asked(head: tuple[str, int], path: str, own: str = "") -> socket.socket:
    """Return a connection on which a path was asked for. Raises OSError, also for a refusal."""
    link = socket.create_connection(head, timeout=SILENCE_SECONDS, source_address=(own, 0))
    try:
        link.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        if path.startswith("/join") and not _head_of(link).startswith(b"HTTP/1.0 200"):
            raise ConnectionRefusedError("the head knows another node of this rank")
    except OSError:
        link.close()
        raise
    return link


def _head_of(link: socket.socket) -> bytes:
    """Return the head of an answer, byte by byte: what comes after it are beats."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = link.recv(1)
        if not byte:
            raise ConnectionResetError("no answer")
        head += byte
    return head


def _beat(link: socket.socket, beat_seconds: float) -> None:
    """Send a byte in each beat and take it back, until the other side is gone or silent."""
    try:
        while True:
            link.sendall(b".")
            if not link.recv(1):
                return
            time.sleep(beat_seconds)
    except OSError:
        return


def _tell(line: str) -> None:
    sys.stderr.write(f"rayfleet: {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
