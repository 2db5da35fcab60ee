"""Ports of a test's own: nobody else is given one of them while it runs, and whoever is to listen there may.

A port that is chosen and let go belongs to whoever asks next, and tests run side by side. So the socket that found it
stays bound and does not listen: who connects is refused until somebody listens. Such a socket keeps nobody out who
sets SO_REUSEADDR, as asyncio and http.server do, or SO_REUSEPORT (Linux, socket(7)).
"""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_HOST = "127.0.0.1"


@contextmanager
def held_ports(count: int, first: int = 0) -> Iterator[tuple[int, ...]]:
    """Give so many ports in a row, on 127.0.0.1, for the length of the block.

    ``first`` 0: any that are free; else from that one on, which a listener with SO_REUSEPORT may have already.
    Raises OSError when ``first`` cannot be held.
    """
    with ExitStack() as stack:
        yield _bound_in_a_row(stack, count, first)


def _bound_in_a_row(stack: ExitStack, count: int, first: int) -> tuple[int, ...]:
    while True:
        with ExitStack() as trying:
            try:
                start = _bound(trying, first)
                ports = (start, *(_bound(trying, start + place) for place in range(1, count)))
            except OSError:  # the next one is somebody's
                if first:
                    raise
                continue
            stack.enter_context(trying.pop_all())
            return ports


def _bound(stack: ExitStack, port: int) -> int:
    sock = stack.enter_context(socket.socket())
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
    sock.bind((_HOST, port))
    return int(sock.getsockname()[1])
