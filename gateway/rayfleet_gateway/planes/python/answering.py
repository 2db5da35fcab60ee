"""One answer on its way to a client: framing, what its bytes tell, and an end that nobody takes for whole unless it is.

The head goes out with the first bytes of the body. A stream of events is framed by chunks, since an error event may
have to follow; anything else keeps the engine's length. An answer that breaks ends with an error event where one may
stand, else with a reset: a client of HTTP/1.0 would take a proper end for a whole answer.
"""

from http import HTTPStatus

from rayfleet_gateway.answer import refusals
from rayfleet_gateway.answer.head import BODYLESS, AnswerHead, Reply, returned
from rayfleet_gateway.answer.judging import AnswerWatch, Ended, Verdict
from rayfleet_gateway.answer.refusals import Refusal
from rayfleet_gateway.model.values import RequestHead, Result
from rayfleet_gateway.planes.python.contracts import Client
from rayfleet_gateway.planes.python.framing import LAST_CHUNK, chunk


class Answer:
    """``has_begun``: bytes went out, so that the status stands. ``size``: bytes of the body that went out."""

    __slots__ = ("_client", "_ended", "_has_body", "_is_chunked", "has_begun", "head", "is_kept", "size", "watch")

    def __init__(self, client: Client, request: RequestHead, head: AnswerHead) -> None:
        self.head = head
        self._has_body = request.method != "HEAD" and head.status not in BODYLESS
        self.watch = AnswerWatch(head, request.path, has_body=self._has_body)
        self.has_begun = False
        self.size = 0
        self.is_kept = False
        self._client = client
        self._ended = Ended.CLOSED if head.length is None and not head.is_chunked else Ended.FRAMED
        is_measured = head.length is not None and not head.is_event_stream
        self._is_chunked = self._has_body and not is_measured and not request.is_http_10

    def begin(self, reply: Reply, content: bytes, *, is_last: bool) -> Verdict | None:
        """Write the head and the first bytes of the body; return what the answer was, at its end.

        How the answer is framed is not for ``reply`` to say; whether it is kept is this answer's too.
        """
        self.has_begun = True
        return self._passed(self._head(reply), content, is_last=is_last)

    def pass_on(self, content: bytes, *, is_last: bool) -> Verdict | None:
        """Write the next bytes of the body; return what the answer was, at its end.

        After ``Verdict.CUT`` the proper end is not written.
        """
        return self._passed(b"", content, is_last=is_last)

    def break_off(self, refusal: Refusal, path: str) -> bool:
        """End it so that nobody takes it for whole; return whether the client could be told in words."""
        if self._is_chunked and self.watch.is_between_events and not self._client.is_paused:
            self._client.write(chunk(refusal.event(path)) + LAST_CHUNK)
            return True
        self._client.reset()
        return False

    def _passed(self, head: bytes, content: bytes, *, is_last: bool) -> Verdict | None:
        watch = self.watch
        watch.feed(content)
        if watch.is_done and watch.excess:
            content = content[: -watch.excess]
        self.size += len(content)
        verdict = watch.verdict_at_end(self._ended) if is_last or watch.is_done else None
        framed = content
        if self._is_chunked:
            framed = chunk(content) if content else b""
            if verdict is not None and verdict is not Verdict.CUT:
                framed += LAST_CHUNK
        elif not self._has_body:
            framed = b""
        if head or framed:
            self._client.write(head + framed)
        return verdict

    def _head(self, reply: Reply) -> bytes:
        has_length = self._has_body and not self._is_chunked
        if has_length and (self.head.length is None or self.head.is_event_stream):
            reply.is_keep_alive = False  # it ends with the connection
        elif has_length:
            reply.length = self.head.length
        reply.is_chunked = self._is_chunked
        self.is_kept = reply.is_keep_alive
        return returned(self.head, reply)


def is_unreadable_error(head: AnswerHead) -> bool:
    """Whether it is an error that clients cannot read: a proxy's page or a server's one word."""
    is_readable = head.media.endswith("json") or head.is_event_stream or bool(head.coding)
    return head.status >= HTTPStatus.BAD_REQUEST and not is_readable


def quoted(head: AnswerHead, text: bytes, model: str) -> Refusal:
    """Return such an error as one that clients can read."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
    return refusals.quoted_error(model, head.status, text.decode("utf-8", "replace"), headers)


def result_of(status: int) -> Result:
    """Return how a whole answer counts."""
    if status < HTTPStatus.BAD_REQUEST:
        return Result.OK
    return Result.ENGINE_4XX if status < HTTPStatus.INTERNAL_SERVER_ERROR else Result.ENGINE_5XX
