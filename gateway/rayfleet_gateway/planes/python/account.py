"""What is noted of a request while it runs, for its one accounting event."""

from secrets import token_hex

from rayfleet_gateway.answer.events import Usage
from rayfleet_gateway.answer.refusals import Refusal
from rayfleet_gateway.attempt.attempts import Attempts
from rayfleet_gateway.model.values import InferenceRequest, Outcome, Result
from rayfleet_gateway.planes.python.answering import Answer
from rayfleet_gateway.request.identity import new_trace_parent
from rayfleet_gateway.telemetry.histogram import Histogram

_NO_USAGE = Usage()


class Account:
    """All times are of the loop's clock. ``asked_at`` is of the last try, 0: none was made. ``code`` is of a refusal.

    ``gaps``, of an answer that is a stream, takes the times between its pieces.
    """

    __slots__ = (
        "asked_at",
        "client",
        "code",
        "endpoint",
        "first_asked_at",
        "first_byte_at",
        "gaps",
        "last_piece_at",
        "parent_span",
        "request_bytes",
        "route",
        "started",
        "status",
        "trace_parent",
    )

    def __init__(self, client: str, started: float) -> None:
        self.client = client
        self.started = started
        self.asked_at = 0.0
        self.first_asked_at = started
        self.gaps: Histogram | None = None
        self.last_piece_at = 0.0
        self.first_byte_at: float | None = None
        self.status = 0
        self.code = ""
        self.route = ""
        self.endpoint = ""
        self.request_bytes = 0
        self.trace_parent = ""
        self.parent_span = ""

    def note_asked(self, now: float) -> None:
        """Note that an endpoint gets the request."""
        if not self.asked_at:
            self.first_asked_at = now
        self.asked_at = now

    def note_piece(self, now: float) -> None:
        """Note that a piece of the answer went on."""
        if self.gaps is not None:
            if self.last_piece_at:
                self.gaps.observe(now - self.last_piece_at)
            self.last_piece_at = now

    def take_trace(self, given: str, *, is_traced: bool) -> str:
        """Return the ``traceparent`` to send on; ``given`` is the client's, ``is_traced``: we tell a span too."""
        self.trace_parent = given or new_trace_parent()
        if given and is_traced:  # version, trace, parent, flags: the parent of the engine's span is ours
            self.trace_parent = given[:36] + token_hex(8) + given[52:]
            self.parent_span = given[36:52]
        return self.trace_parent

    def outcome(
        self, request: InferenceRequest, answer: Answer | None, attempts: Attempts | None, result: Result, now: float
    ) -> Outcome:
        """Return the accounting event of a request that ends now."""
        first = self.first_byte_at
        usage = answer.watch.usage if answer is not None else _NO_USAGE
        return Outcome(
            model=request.label,
            status=self.status,
            result=result,
            seconds=now - self.started,
            first_byte_seconds=None if first is None else first - self.started,
            queue_seconds=self.first_asked_at - self.started,
            request_id=request.request_id,
            method=request.head.method,
            path=request.head.path,
            client=self.client,
            attempts=0 if attempts is None else attempts.count,
            endpoint=self.endpoint,
            route=self.route,
            code=self.code,
            is_stream=answer is not None and answer.head.is_event_stream,
            request_bytes=self.request_bytes,
            answer_bytes=0 if answer is None else answer.size,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            trace_parent=self.trace_parent,
            parent_span=self.parent_span,
        )


def unread_outcome(refusal: Refusal, request_id: str, client: str, seconds: float) -> Outcome:
    """Return the accounting event of what was refused because it is no request."""
    return Outcome(
        model="unknown",
        status=int(refusal.status),
        result=Result.REFUSED,
        seconds=seconds,
        request_id=request_id,
        client=client,
        code=refusal.code,
    )
