"""The sockets of a client, so that closing it leaves none behind.

A request that is cancelled half-way is closed by aiohttp with a polite TLS farewell, which waits up to 30 s for the
server; nobody waits for that when a process ends.
"""

import asyncio
import contextlib
import socket
import weakref

_TURNS = 100


class Sockets:
    """Makes sockets for an aiohttp connector and remembers those that are open."""

    def __init__(self) -> None:
        self._made: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def make(self, address: tuple[int, int, int, str, object]) -> socket.socket:
        """Return a new socket for an entry of ``getaddrinfo``."""
        family, kind, protocol, _, _ = address
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        self._made.add(made)
        return made

    async def closed(self) -> None:
        """End both directions of what is still open, and give its transports some turns of the loop to notice."""
        for each in self._open():
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for _ in range(_TURNS):
            if not self._open():
                return
            await asyncio.sleep(0)

    def _open(self) -> list[socket.socket]:
        return [each for each in self._made if each.fileno() >= 0]
