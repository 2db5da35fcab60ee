"""A log's pieces as lines with their times. Pure.

Source: the kubelet's logs.go (v1.36): a line is shown when it did not come before ``since``, after its time in RFC 3339
with nine digits.
"""

from collections.abc import Iterator

from rayfleet.local.apiserver.verbs.log_options import LogOptions
from rayfleet.local.log_times import LineTimes
from rayfleet.objects.times import encode_nano_time


class Lines:
    """Puts pieces together; a line is handed out when it is whole."""

    def __init__(self) -> None:
        self._rest = b""
        self._end = 0

    def take(self, start: int, piece: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield whole lines and where each ends; ``piece`` lies at ``start``. A jump ends what was begun."""
        if start != self._end:
            yield from self.rest()
        begin = start - len(self._rest)
        *whole, self._rest = (self._rest + piece).split(b"\n")
        self._end = start + len(piece)
        for line in whole:
            begin += len(line) + 1
            yield begin, line + b"\n"

    def rest(self) -> Iterator[tuple[int, bytes]]:
        """Yield what is no whole line, if there is any: nothing follows it."""
        if self._rest:
            yield self._end, self._rest
        self._rest = b""


def shown_line(line: bytes, end: int, times: LineTimes, options: LogOptions) -> bytes:
    """Return a line that ends before byte ``end`` as it is shown; empty when it is not."""
    moment = times.of(end)
    if options.since is not None and moment < options.since:
        return b""
    return encode_nano_time(moment).encode() + b" " + line if options.has_times else line
