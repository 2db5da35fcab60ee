"""Where clients connect: sockets that several processes may hold at once, so that one can take over from another.

``SO_REUSEPORT`` lets the next process listen before this one stops. What a listening socket has not accepted when it is
closed is reset by the kernel, so that the last act of a listener is to accept all that is there.

Source: socket(7); Linux, "SO_REUSEPORT"; the hand-over of HAProxy and Envoy.
"""

import asyncio
import errno
import socket
from collections.abc import Callable

from rayfleet.model.errors import EnvironmentProblem

_BACKLOG = 1024


class Listener:
    """Listens on every address of a host name."""

    def __init__(self, host: str, port: int, factory: Callable[[], asyncio.Protocol]) -> None:
        self._host = host
        self._port = port
        self._factory = factory
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []

    @property
    def port(self) -> int:
        """The port, also when any free one was asked for; 0 when it does not listen."""
        return int(self._sockets[0].getsockname()[1]) if self._sockets else 0

    async def open(self) -> None:
        """Listen. Raises EnvironmentProblem when that cannot be."""
        loop = asyncio.get_running_loop()
        try:
            addresses = await loop.getaddrinfo(
                self._host or None, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            for family, _, _, _, address in dict.fromkeys(addresses):
                self._sockets.append(_bound(family, address))
            for sock in self._sockets:
                self._servers.append(await loop.create_server(self._factory, sock=sock, backlog=_BACKLOG))
        except OSError as error:
            for sock in self._sockets:
                sock.close()
            self._sockets.clear()
            raise unusable(error, "--port", self._host, self._port) from error

    async def close(self) -> None:
        """Listen no more; whoever the kernel has connected already is still served."""
        loop = asyncio.get_running_loop()
        waiting: list[socket.socket] = []
        for sock in self._sockets:
            waiting += _accepted(sock)
        for server in self._servers:
            server.close()
        self._servers.clear()
        self._sockets.clear()
        for sock in waiting:
            await loop.connect_accepted_socket(self._factory, sock)


def unusable(error: OSError, flag: str, host: str, port: int) -> EnvironmentProblem:
    """Return what to say when nobody can listen at ``host``, on the port that ``flag`` names. Pure."""
    reason = f"{host}:{port} cannot be used: {error.strerror or error}"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return EnvironmentProblem(f"--host {host}: {reason}", way_out="Name an address of this machine with --host.")
    return EnvironmentProblem(
        f"{flag} {port}: {reason}", way_out=f"End what listens there, or choose another with {flag}."
    )


def _bound(family: int, address: tuple[object, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def _accepted(listening: socket.socket) -> list[socket.socket]:
    """Return every connection that waits to be accepted."""
    connections: list[socket.socket] = []
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:  # none is left
            return connections
        connection.setblocking(False)
        connections.append(connection)
