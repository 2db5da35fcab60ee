"""What is noted of a request while it runs: the accounting event itself, which its end makes whole."""

from rayfleet_gateway.answer.events import Usage
from rayfleet_gateway.attempt.attempts import Attempts
from rayfleet_gateway.model.values import InferenceRequest, Outcome, Result
from rayfleet_gateway.planes.python.answering import Answer
from rayfleet_gateway.request.identity import Names
from rayfleet_gateway.telemetry.histogram import Histogram

_NO_USAGE = Usage()


class Account(Outcome):
    """All times are of the loop's clock. ``asked_at`` is of the last try, 0: none was made.

    ``gaps``, of an answer that is a stream, takes the times between its pieces.
    """

    __slots__ = ("asked_at", "first_asked_at", "first_byte_at", "gaps", "last_piece_at", "started")

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

    def take_trace(self, given: str, names: Names, *, is_traced: bool) -> str:
        """Return the ``traceparent`` to send on; ``given`` is the client's, ``is_traced``: we tell a span too."""
        self.trace_parent = given or names.trace_parent()
        if given and is_traced:  # version, trace, parent, flags: the parent of the engine's span is ours
            self.trace_parent = given[:36] + names.span_id() + given[52:]
            self.parent_span = given[36:52]
        return self.trace_parent

    def close(
        self, request: InferenceRequest, answer: Answer | None, attempts: Attempts | None, result: Result, now: float
    ) -> None:
        """Make it the whole accounting event of a request that ends now."""
        first, head = self.first_byte_at, request.head
        usage = answer.watch.usage if answer is not None else _NO_USAGE
        self.model = request.label
        self.result = result
        self.seconds = now - self.started
        self.first_byte_seconds = None if first is None else first - self.started
        self.queue_seconds = self.first_asked_at - self.started
        self.request_id = request.request_id
        self.method = head.method
        self.path = head.path
        self.attempts = 0 if attempts is None else attempts.count
        self.is_stream = answer is not None and answer.head.is_event_stream
        self.answer_bytes = 0 if answer is None else answer.size
        self.prompt_tokens, self.completion_tokens = usage
