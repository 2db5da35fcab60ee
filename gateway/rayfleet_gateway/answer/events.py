"""What must be seen in a stream of server-sent events while its bytes pass: an error, the end, a whole event. Pure.

Nothing is parsed: one search per chunk, over the chunk and the last bytes before it, so an event may be cut anywhere.
JSON escapes quotes within strings, so that ``data: {"error"`` in valid events is the engine's error and never a model's
text.
"""

import re

_KEPT = 32  # longer than anything searched for
_QUICK = (b'{"error"', b'{"object"')
_ERROR = re.compile(rb'(?:^|[\r\n])data: ?\{"(?:error"|object": ?"error")')
_DONE = re.compile(rb"(?:^|[\r\n])data: ?\[DONE\][\r\n]*\Z")
_BETWEEN = (b"\n\n", b"\r\n\r\n", b"\r\r")


class EventWatch:
    """Feed it every chunk of one stream, in order."""

    __slots__ = ("_tail", "has_error")

    def __init__(self) -> None:
        self.has_error = False
        self._tail = b""

    def feed(self, chunk: bytes) -> None:
        """Note the next bytes of the stream."""
        window = self._tail + chunk
        if not self.has_error and any(mark in window for mark in _QUICK):
            self.has_error = _ERROR.search(window) is not None
        self._tail = window[-_KEPT:]

    @property
    def is_done(self) -> bool:
        """Whether the stream's last event so far is ``[DONE]``."""
        return _DONE.search(self._tail) is not None

    @property
    def is_between_events(self) -> bool:
        """Whether what came so far ends where an event ends, so that another may follow."""
        return not self._tail or self._tail.endswith(_BETWEEN)
