"""The watch of ranks: a start together, and the end of all when one is lost, over real sockets."""

import json
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rayfleet.plugin.rank_watch import Ranks, join, make_server, wait, waiting_ranks

HOST = "127.0.0.1"


@contextmanager
def served(ranks: Ranks, silence_seconds: float = 60) -> Iterator[tuple[str, int]]:
    server = make_server(HOST, 0, ranks, silence_seconds)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield (HOST, server.server_address[1])
    finally:
        server.shutdown()
        thread.join(60)
        server.server_close()


def started(ranks: Ranks, nodes: int) -> Ranks:
    for rank in range(nodes):
        ranks.wait(rank)
    return ranks


def test_all_start_when_the_last_is_ready_and_not_before() -> None:
    ranks = Ranks(HOST, 3)
    assert [ranks.wait(rank) for rank in (0, 0, 2, 7, 1)] == [1, 1, 2, 2, 3]
    assert ranks.wait(0) == 3


def test_a_rank_that_leaves_before_the_start_is_waited_for_again() -> None:
    ranks = Ranks(HOST, 2)
    assert ranks.join(1, "10.0.0.2")
    assert ranks.wait(1) == 1
    ranks.leave(1)
    assert ranks.lost.empty()
    assert ranks.wait(0) == 1


def test_a_rank_that_leaves_after_the_start_is_lost() -> None:
    ranks = started(Ranks(HOST, 2), 2)
    assert ranks.join(1, "10.0.0.2")
    assert ranks.membership() == {"alive": ["10.0.0.2", HOST], "dead": []}
    ranks.leave(1)
    assert ranks.lost.get_nowait() == "rank 1 (10.0.0.2)"
    assert ranks.membership() == {"alive": [HOST], "dead": ["10.0.0.2"]}


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_nobody_takes_a_rank_that_is_there_or_that_does_not_exist(rank: int) -> None:
    ranks = Ranks(HOST, 2)
    assert ranks.join(1, "10.0.0.2")
    assert not ranks.join(rank, "10.0.0.9")


def test_the_head_tells_who_is_there() -> None:
    with served(Ranks(HOST, 2)) as (host, port), urllib.request.urlopen(f"http://{host}:{port}/nodes") as answer:
        assert json.load(answer) == {"alive": [HOST], "dead": []}


def test_ranks_wait_for_one_another_over_the_network() -> None:
    with served(Ranks(HOST, 2)) as head:
        assert waiting_ranks(head, 1) == 1
        assert wait(lambda: waiting_ranks(head, 0), 2, limit_seconds=60) == 0
    assert waiting_ranks(head, 1) == -1, "the head is gone"
    assert wait(lambda: -1, 2, limit_seconds=-1) == 1


def test_a_silent_rank_is_lost() -> None:
    ranks = started(Ranks(HOST, 2), 2)
    with served(ranks, silence_seconds=0.05) as head:
        threading.Thread(target=join, args=(head, 1, 60, HOST), kwargs={"beat_seconds": 60}, daemon=True).start()
        assert ranks.lost.get(timeout=60) == f"rank 1 ({HOST})"


def test_a_rank_ends_with_its_head_after_beats_that_came_back() -> None:
    echoed: list[bytes] = []

    def head(server: socket.socket) -> None:
        link, _ = server.accept()
        with link, link.makefile("rb") as request:
            while request.readline() != b"\r\n":
                pass
            link.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
            for _ in range(3):
                echoed.append(request.read(1))
                link.sendall(echoed[-1])

    with socket.create_server((HOST, 0)) as server:
        thread = threading.Thread(target=head, args=(server,))
        thread.start()
        assert join(server.getsockname(), 1, 60, HOST, beat_seconds=0.001) == 1
        thread.join(60)
    assert echoed == [b"."] * 3


def test_a_rank_without_a_head_gives_up_after_its_limit() -> None:
    assert join((HOST, 1), 1, -1, HOST) == 1
