"""An end of a connection that its other side cannot take for a proper one."""

import asyncio
import contextlib
import socket
import struct

_AT_ONCE = struct.pack("ii", 1, 0)  # struct linger: what waits is dropped, and a reset is sent


def reset(transport: asyncio.Transport) -> None:
    """Reset a connection; without effect on one that is closing."""
    if transport.is_closing():
        return
    sock: socket.socket = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()
