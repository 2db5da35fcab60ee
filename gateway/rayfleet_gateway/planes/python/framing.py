"""Chunked framing, followed byte for byte and checked (RFC 9112, section 7.1). Pure.

Strict on purpose: what two readers could take for different lengths is an error, never a guess. Extensions and trailer
fields are read, checked and dropped: they end at a gateway.
"""

import re

_LONGEST_LINE = 4096  # of a size with its extensions, or of a trailer field
_MOST_TRAILERS = 8192  # bytes in all
_LINES_AT_ONCE = 100  # some 0.1 ms: chunks of one byte are no fault, but a read can bring 40,000 of them
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_SIZE_BEGINS = re.compile(rb"[0-9A-Fa-f]{1,16}(?:[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?)?\r?")
_TRAILER = re.compile(rb"[!#$%&'*+.^`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
_CRLF = b"\r\n"


class ChunkReader:
    """Feed it the bytes of one chunked body in order.

    ``is_done``: its last byte was seen; ``rest`` is what came after that. ``error`` says what is wrong, once something
    is; content from before that is still returned. ``is_behind``: it was given more lines than one step should look at;
    feed it nothing, in another step, until it is not.
    """

    __slots__ = (
        "_is_after_content",
        "_is_in_trailers",
        "_kept",
        "_left",
        "_trailer_bytes",
        "error",
        "is_behind",
        "is_done",
        "rest",
    )

    def __init__(self) -> None:
        self.is_done = False
        self.is_behind = False
        self.error = ""
        self.rest = b""
        self._kept = b""  # a line that is not whole yet, or what one step left over
        self._left = 0  # bytes of the chunk that are still to come
        self._is_after_content = False  # the line end after a chunk is due
        self._is_in_trailers = False
        self._trailer_bytes = 0

    def feed(self, data: bytes) -> bytes:
        """Return the content in ``data``; nothing once there is an error, or after the end."""
        if self._left == 0 and not self._kept and not self._is_after_content and not self._is_in_trailers:
            line_end = data.find(_CRLF, 0, 18)
            if line_end > 0 and (match := _SIZE.fullmatch(data, 0, line_end)) is not None:
                size = int(match[1], 16)
                if size and len(data) == line_end + size + 4 and data.endswith(_CRLF):
                    return data[line_end + 2 : -2]  # one whole chunk, as tokens come
        return self._followed(self._kept + data if self._kept else data)

    def _followed(self, data: bytes) -> bytes:
        parts: list[bytes] = []
        at, end, lines = 0, len(data), 0
        self._kept = b""
        self.is_behind = False
        while at < end and not self.error and not self.is_done:
            if self._left:
                taken = min(self._left, end - at)
                parts.append(data[at : at + taken])
                at += taken
                self._left -= taken
                self._is_after_content = not self._left
                continue
            if lines == _LINES_AT_ONCE:
                self.is_behind = True
                self._kept = data[at:]
                break
            lines += 1
            line_end = data.find(_CRLF, at, at + _LONGEST_LINE)
            if line_end < 0:
                self._keep(data[at:])
                break
            self._read_line(data[at:line_end])
            at = line_end + 2
        if self.is_done:
            self.rest = data[at:]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _keep(self, begun: bytes) -> None:
        """Keep a line that has begun, unless no end could make it a right one."""
        if self._is_after_content:
            is_possible = begun == b"\r"
        elif self._is_in_trailers:
            is_possible = len(begun) < _LONGEST_LINE
        else:
            is_possible = len(begun) < _LONGEST_LINE and _SIZE_BEGINS.fullmatch(begun) is not None
        if is_possible:
            self._kept = begun
        else:
            self.error = "its chunks are not framed as HTTP has it"

    def _read_line(self, line: bytes) -> None:
        if self._is_after_content:
            self._is_after_content = False
            if line:
                self.error = "a chunk is longer than it says"
        elif self._is_in_trailers:
            self._trailer_bytes += len(line) + 2
            if not line:
                self.is_done = True
            elif self._trailer_bytes > _MOST_TRAILERS or _TRAILER.fullmatch(line) is None:
                self.error = "its trailer is not a field"
        else:
            match = _SIZE.fullmatch(line)
            if match is None:
                self.error = "its chunks are not framed as HTTP has it"
                return
            self._left = int(match[1], 16)
            self._is_in_trailers = not self._left


def chunk(content: bytes) -> bytes:
    """Return ``content``, which is not empty, as one chunk."""
    return b"%x\r\n%b\r\n" % (len(content), content)


LAST_CHUNK = b"0\r\n\r\n"
