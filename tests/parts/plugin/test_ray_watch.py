"""The observer of Ray's nodes: its answer, its silence, and the wait for enough nodes.

Ray's client is a small class here.
"""

import json
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import pytest

from rayfleet.plugin.ray_watch import Links, View, hold_link, main, make_server, membership, serve, wait_for_nodes
from rayfleet.testing.waiting import wait_until

HOST, WORKER = "127.0.0.1", "127.79.0.3"
HEAD_ALONE: dict[str, list[str]] = {"alive": [HOST], "dead": []}
WHOLE: dict[str, list[str]] = {"alive": [HOST, WORKER], "dead": []}


@dataclass(frozen=True)
class Info:
    node_manager_address: str
    state: int


@dataclass
class Gcs:
    """Answers as ``ray._raylet.GcsClient`` does; silent while ``is_silent``."""

    nodes: dict[str, Info] = field(default_factory=dict)
    is_silent: bool = False
    connections: int = 0

    def connect(self) -> "Gcs":
        self.connections += 1
        return self

    def get_all_node_info(self, timeout: int) -> dict[str, Info]:
        if self.is_silent:
            raise TimeoutError(f"no answer in {timeout} s")
        return self.nodes


def served(gcs: Gcs, silence_seconds: float = 10) -> AbstractContextManager[int]:
    return served_view(View(gcs.connect, 2), silence_seconds)


@contextmanager
def served_view(view: View, silence_seconds: float = 10) -> Iterator[int]:
    server = make_server(HOST, 0, view, silence_seconds)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join(timeout=60)
        server.server_close()


def link(port: int) -> socket.socket:
    made = socket.create_connection((HOST, port), timeout=10, source_address=(WORKER, 0))
    made.sendall(b"GET /link/its-own HTTP/1.0\r\n\r\n.")
    assert made.recv(1) == b"."
    return made


def get(port: int, path: str = "/nodes") -> tuple[int, dict[str, object]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_a_node_that_came_back_is_not_dead() -> None:
    nodes = [Info("b", 0), Info("a", 1), Info("a", 0), Info("c", 1), Info("c", 1)]
    assert membership(nodes) == {"alive": ["a", "b"], "dead": ["c"]}


def test_a_node_whose_link_ended_is_dead_before_ray_says_so_until_it_is_back() -> None:
    nodes = {"1": Info("127.79.0.2", 0), "2": Info(WORKER, 0)}
    whole = {"alive": ["127.79.0.2", WORKER], "dead": []}
    with served(Gcs(nodes=nodes)) as port:
        assert get(port) == (200, whole), "one that never held a link is Ray's to tell"
        with link(port):
            assert get(port) == (200, whole)
        wait_until(lambda: get(port)[1], "it is dead", 10, holds=lambda seen: seen["dead"] == [WORKER])
        with link(port):
            assert get(port) == (200, whole)


def test_a_node_that_falls_silent_is_dead() -> None:
    with served(Gcs(nodes={"2": Info(WORKER, 0)}), silence_seconds=0.1) as port, link(port):
        wait_until(lambda: get(port)[1], "it is dead", 10, holds=lambda seen: seen["dead"] == [WORKER])


def test_a_node_that_leaves_after_the_start_has_left() -> None:
    links = joined("its own")
    assert links.without_gone(WHOLE) == WHOLE
    links.leave(WORKER, "its own")
    assert links.left.get_nowait() == (WORKER, "its own")
    assert not links.is_back(WORKER, "its own")


@pytest.mark.parametrize("known", [HEAD_ALONE, {"alive": [HOST, "127.79.0.4"], "dead": []}], ids=["alone", "former"])
def test_a_link_that_ends_before_ray_knows_its_node_is_no_loss(known: dict[str, list[str]]) -> None:
    """Before the start, or at one with another worker: of the replica's former life, whose raylets end for new ones."""
    links = joined("its own")
    assert links.without_gone(known) == known
    links.leave(WORKER, "its own")
    assert links.left.empty()


def test_a_node_leaves_with_the_link_of_its_life() -> None:
    links = joined("former", "its own")
    links.without_gone(WHOLE)
    links.leave(WORKER, "former")
    assert links.left.empty()
    links.join(WORKER, "a later life's")
    links.leave(WORKER, "its own")
    assert links.left.get_nowait() == (WORKER, "its own")


def test_a_node_whose_link_came_after_the_start_leaves_with_it() -> None:
    links = Links(2)
    links.without_gone(WHOLE)
    links.join(WORKER, "its own")
    links.leave(WORKER, "its own")
    assert links.left.get_nowait() == (WORKER, "its own")


def joined(*tokens: str) -> Links:
    links = Links(2)
    for token in tokens:
        links.join(WORKER, token)
    return links


def test_the_observer_ends_with_a_node_that_does_not_come_back_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """A link that only broke is held again by the same process; one of another process is a new life of the node."""
    view = View(Gcs(nodes={"1": Info(HOST, 0), "2": Info(WORKER, 0)}).connect, 2)
    with served_view(view) as port:
        with link(port):
            assert get(port) == (200, WHOLE)
        wait_until(lambda: get(port)[1], "it has left", 10, holds=lambda seen: seen == {**HEAD_ALONE, "dead": [WORKER]})
        with link(port):
            wait_until(lambda: get(port)[1], "it is back", 10, holds=lambda seen: seen == WHOLE)
            observer = threading.Thread(target=serve, args=(HOST, 0, view, 0))
            observer.start()
            observer.join(0.5)
            assert observer.is_alive(), "it was back before it was looked for"
        observer.join(60)
        assert not observer.is_alive()
    assert f"the node at {WORKER} is lost, and the engine with it" in capsys.readouterr().err


def test_a_link_is_held_with_beats_and_ends_with_its_head() -> None:
    beats: list[bytes] = []
    with socket.create_server((HOST, 0)) as server:
        holder = threading.Thread(target=hold_link, args=(server.getsockname(), WORKER, "its-own", 0.001))
        holder.start()
        head, (address, _) = server.accept()
        with head, head.makefile("rb") as request:
            assert request.readline() == b"GET /link/its-own HTTP/1.0\r\n"
            assert request.readline() == b"\r\n"
            for _ in range(3):
                beats.append(request.read(1))
                head.sendall(beats[-1])
        holder.join(10)
    assert not holder.is_alive()
    assert (beats, address) == ([b"."] * 3, WORKER)


def test_the_nodes_are_served() -> None:
    with served(Gcs(nodes={"1": Info("127.79.0.2", 0), "2": Info("127.79.0.3", 1)})) as port:
        assert get(port) == (200, {"alive": ["127.79.0.2"], "dead": ["127.79.0.3"]})
        assert get(port, "/other")[0] == 404


def test_a_silent_head_service_is_no_empty_cluster() -> None:
    with served(Gcs(is_silent=True)) as port:
        status, answer = get(port)
    assert status == 503
    assert answer == {"error": "TimeoutError: no answer in 2 s"}


def test_a_client_that_failed_is_made_anew() -> None:
    gcs = Gcs(is_silent=True)
    view = View(gcs.connect, 2)
    with pytest.raises(TimeoutError):
        view.read()
    gcs.is_silent = False
    assert view.read() == {"alive": [], "dead": []}
    assert gcs.connections == 2


def test_ray_is_not_asked_for_every_question() -> None:
    gcs = Gcs()
    view = View(gcs.connect, 2)
    view.read()
    gcs.is_silent = True
    assert view.read() == {"alive": [], "dead": []}


def test_waiting_tells_each_change_once() -> None:
    counts = iter([-1, -1, 1, 2])
    lines: list[str] = []
    assert wait_for_nodes(lambda: next(counts), 2, 60, lines.append)
    assert [re.sub(r"after \d+ s", "after some time", line.split(";")[0]) for line in lines] == [
        "Ray's head service does not answer yet",
        "1 of 2 Ray nodes are alive",
        "2 of 2 Ray nodes are alive after some time",
    ]


def test_waiting_has_a_limit() -> None:
    lines: list[str] = []
    assert not wait_for_nodes(lambda: 1, 2, 0, lines.append)
    assert lines[-1] == "1 of 2 Ray nodes are alive after 0 s; giving up (see the logs of the workers)"


def test_the_wait_asks_the_server() -> None:
    with served(Gcs(nodes={"1": Info("a", 0)})) as port:
        assert main(["wait", "127.0.0.1", str(port), "1", "60"]) == 0
        assert main(["wait", "127.0.0.1", str(port), "2", "0"]) == 1
