"""One request from its whole body to the last byte of its answer: a state machine that is driven by what comes.

Nothing here waits: connections, timers and threads call in, each call does one step. The client's connection made it,
and hears of its end; it counts exactly one outcome, however it ends.

A client never takes a broken answer for a whole one. The head of an answer is held until its first byte, so whatever
fails before it is an error with its own status, or another endpoint's to answer. After it, see ``answering``.

Limits: the route's ``timeouts.request`` (or ``first_byte_timeout``) runs from the request's head to the first byte of
the answer's body, over all attempts; then ``idle_timeout`` bounds each wait, for the engine as for the client.
"""

import asyncio
import logging
import random

from rayfleet_gateway.answer import refusals
from rayfleet_gateway.answer.cors import ALLOW, opened
from rayfleet_gateway.answer.head import AnswerHead, Reply, refused
from rayfleet_gateway.answer.judging import Verdict
from rayfleet_gateway.answer.refusals import Refusal
from rayfleet_gateway.attempt.attempts import Attempts, GiveUp
from rayfleet_gateway.model.values import Failure, InferenceRequest, Result
from rayfleet_gateway.planes.python.account import Account
from rayfleet_gateway.planes.python.answering import Answer, is_unreadable_error, quoted, result_of
from rayfleet_gateway.planes.python.contracts import Client
from rayfleet_gateway.planes.python.deadlines import NEVER
from rayfleet_gateway.planes.python.filtering import added_lines, redirection
from rayfleet_gateway.planes.python.guarding import guarded
from rayfleet_gateway.planes.python.known import KnownHead, Routed
from rayfleet_gateway.planes.python.routing import Routing, routed_at_once
from rayfleet_gateway.planes.python.shared import Shared
from rayfleet_gateway.planes.python.upstream import UpstreamConnection
from rayfleet_gateway.request.headers import Onward, head_end, head_start
from rayfleet_gateway.route.filters import NO_FILTERS

log = logging.getLogger(__name__)

_QUOTED_BYTES = 64 << 10  # of an engine's error that is no JSON


class Exchange:
    """Made when a head is there; ``begin`` when its body is. ``due`` is the sweeper's."""

    __slots__ = (
        "_account",
        "_answer",
        "_attempts",
        "_body_bytes",
        "_client",
        "_connecting",
        "_failure",
        "_filters",
        "_head_out",
        "_is_over",
        "_is_repeated",
        "_known",
        "_quoted",
        "_request",
        "_routing",
        "_shared",
        "_upstream",
        "due",
        "head",
        "request_id",
    )

    def __init__(self, shared: Shared, client: Client, known: KnownHead, started: float) -> None:
        head = self.head = known.head
        self.request_id = known.request_id or shared.names.request_id()
        self.due = NEVER
        self._known = known
        self._shared = shared
        self._client = client
        self._account = Account(client.address, started)
        self._request = InferenceRequest(head=head, body=b"", model="", label="unknown", request_id=self.request_id)
        self._routing: Routing | None = None
        self._attempts: Attempts | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._upstream: UpstreamConnection | None = None
        self._answer: Answer | None = None
        self._quoted: bytearray | None = None
        self._failure: Failure | None = None
        self._filters = NO_FILTERS
        self._head_out = b""
        self._body_bytes = 0
        self._is_repeated = False
        self._is_over = False
        shared.running.add(self)
        shared.sweeper.watched.add(self)

    # What the client's connection calls.

    @guarded
    def begin(self, body: bytes) -> None:
        """Go on with the whole body, whose bytes are in the budget already."""
        self._request.body = body
        self._body_bytes = self._account.request_bytes = len(body)
        routed = routed_at_once(self._shared, self._request, self._known)
        if routed is not None:
            self._on_routed(routed)
            return
        self._routing = Routing(self._shared, self._request, self._known, self._on_routed, self.fail)
        self._routing.start()

    @guarded
    def refuse(self, refusal: Refusal) -> None:
        """End it with an answer of the gateway's own, because of its head or its body."""
        self._refuse(refusal, Result.REFUSED)

    def leave(self) -> None:
        """End it because its client is gone: the engine stops with it."""
        self._end(Result.CLIENT_GONE)

    def pause(self) -> None:
        """Take no more from the engine: the client is behind."""
        if self._upstream is not None:
            self._upstream.pause()

    def resume(self) -> None:
        """Take more; the engine has its own time again."""
        if self._upstream is not None:
            self.due = self._shared.loop.time() + self._shared.idle_seconds
            self._upstream.resume()

    def cut(self) -> None:
        """End it now, with an error: the gateway has no more time."""
        if self._answer is not None and self._answer.has_begun:
            self._break_off(refusals.stopping(), Result.CUT)
        else:
            self._refuse(refusals.stopping(), Result.CUT)

    def fail(self) -> None:
        """End it after a fault of ours."""
        if self._is_over:
            return
        refusal = refusals.internal(self.request_id)
        if self._answer is not None and self._answer.has_begun:
            self._break_off(refusal, Result.FAILED)
        else:
            self._refuse(refusal, Result.FAILED)

    @guarded
    def expire(self, now: float) -> None:
        """Act on a deadline that has passed."""
        if self._answer is None or not self._answer.has_begun:
            self._lost(Failure.FIRST_BYTE_TIMEOUT, now)
        elif self._client.is_paused:
            self._client.reset()
            self._end(Result.CLIENT_GONE)
        else:
            self._broken("it was silent for too long")

    # What the pool and the engine's connection call.

    @guarded
    def on_connected(self, connection: UpstreamConnection) -> None:
        """Send the request on a new connection."""
        self._connecting = None
        self._send(connection)

    @guarded
    def on_head(self, head: AnswerHead) -> None:
        """Hold the head until its first byte."""
        self._answer = Answer(self._client, self.head, head)
        self._quoted = bytearray() if is_unreadable_error(head) else None

    @guarded
    def on_content(self, content: bytes, *, is_last: bool) -> None:
        """Pass bytes on."""
        answer = self._answer
        assert answer is not None
        if is_last:
            self._upstream = None
        if answer.has_begun:
            verdict = answer.pass_on(content, is_last=is_last)
        elif self._may_begin(answer, content, is_last=is_last):
            verdict = answer.begin(self._reply(), content, is_last=is_last)
        else:
            return
        if verdict is None:
            now = self._shared.loop.time()
            self._account.note_piece(now)
            self.due = now + self._shared.idle_seconds
        else:
            self._end_of_answer(answer, verdict)

    @guarded
    def on_broken(self, failure: Failure, reason: str) -> None:
        """Ask elsewhere, or end what has begun."""
        upstream, self._upstream, self._connecting = self._upstream, None, None
        if self._answer is not None and self._answer.has_begun:
            self._broken(reason)
            return
        now = self._shared.loop.time()
        is_stale = upstream is not None and upstream.was_used and not upstream.has_answered
        if is_stale and not self._is_repeated and now - self._account.asked_at < self._shared.stale_seconds:
            self._is_repeated = True
            assert upstream is not None
            self._connecting = self._shared.pool.connect(upstream.endpoint, self)
            return
        self._lost(failure, now)

    # Steps.

    def _on_routed(self, routed: Routed | Refusal) -> None:
        self._routing = None
        if isinstance(routed, Refusal):
            self._refuse(routed, Result.REFUSED)
            return
        shared, request, rule = self._shared, self._request, routed.rule
        self._account.route = rule.route
        self._filters = rule.filters
        if rule.filters.redirect is not None:
            elsewhere = redirection(rule, rule.filters.redirect, self.head, self._reply())
            self._answer_myself(elsewhere, rule.filters.redirect.status)
            return
        self._attempts = Attempts(
            rule,
            request,
            policy=shared.attempt_policy,
            book=shared.book,
            started=self._account.started,
            pipeline=shared.profiles.of(rule),
        )
        if not routed.start:
            onward = Onward(client=self._client.address, edits=routed.edits, policy=shared.forwarded_policy)
            routed.start = head_start(self.head, onward)
        trace = self._account.take_trace(self._known.trace_parent, shared.names, is_traced=shared.settings.has_traces)
        self._head_out = routed.start + head_end(self.head, len(request.body), self.request_id, trace)
        shared.telemetry.series(request.label).in_flight += 1
        self._ask()

    def _ask(self) -> None:
        """Ask the next endpoint, or say that there is none."""
        assert self._attempts is not None
        step = self._attempts.next(self._shared.loop.time(), random.random())  # noqa: S311 - spreads load, no secret
        if isinstance(step, GiveUp):
            if self._attempts.is_out_of_budget:
                self._shared.telemetry.tallies.retry_budget_exhausted += 1
            self._refuse(step.refusal, step.result)
            return
        if self._failure is not None:
            self._shared.telemetry.tallies.retries.add(self._failure.name.lower())
        self.due = step.first_byte_by
        self._account.endpoint = step.state.name
        self._is_repeated = False
        connection = self._shared.pool.take(step.state.endpoint)
        if connection is not None:
            self._send(connection)
        else:
            self._connecting = self._shared.pool.connect(step.state.endpoint, self)

    def _lost(self, failure: Failure, now: float) -> None:
        """Ask elsewhere after a try that brought nothing, or say that it failed."""
        assert self._attempts is not None
        self._drop_work()
        self._answer = self._quoted = None
        self._attempts.failed(failure, now)
        self._failure = failure
        self._ask()

    def _send(self, connection: UpstreamConnection) -> None:
        self._upstream = connection
        self._account.note_asked(self._shared.loop.time())
        connection.ask(self, self.head.method, self._head_out, self._request.body)

    def _may_begin(self, answer: Answer, content: bytes, *, is_last: bool) -> bool:
        """Whether these first bytes are for the client, rather than of an answer that it shall not get."""
        assert self._attempts is not None
        now = self._shared.loop.time()
        if self._quoted is None or not self._quoted:
            if self._attempts.answered(answer.head.status, now):
                self._drop_answer()
                self._failure = Failure.OVERLOADED
                self._ask()
                return False
            self._account.first_byte_at = now
        if self._quoted is not None:
            self._quoted += content
            if is_last or len(self._quoted) >= _QUOTED_BYTES:
                self._refuse(
                    quoted(answer.head, bytes(self._quoted), self._request.model), result_of(answer.head.status)
                )
            return False
        self._account.status = answer.head.status
        if answer.head.is_event_stream:
            self._account.gaps = self._shared.telemetry.series(self._request.label).inter_token
        self._release_body()
        return True

    def _end_of_answer(self, answer: Answer, verdict: Verdict) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:  # the last event is the client's end; the engine has a moment for its own
            upstream.finish(self._shared.loop.time())
        match verdict:
            case Verdict.WHOLE:
                self._end(result_of(answer.head.status))
            case Verdict.ENGINE_ERROR:
                self._end(Result.ENGINE_ERROR)
            case Verdict.CUT:
                self._broken("it ended before its answer did")

    def _broken(self, reason: str) -> None:
        """End an answer that began well."""
        if self._attempts is not None:
            self._attempts.failed(Failure.BROKEN_OFF, self._shared.loop.time())
        if self._answer is not None and self._answer.watch.has_error:
            self._break_off(refusals.upstream_error(self._request.model, reason), Result.ENGINE_ERROR)
        else:
            self._break_off(refusals.upstream_error(self._request.model, reason), Result.UPSTREAM_ERROR)

    def _break_off(self, refusal: Refusal, result: Result) -> None:
        assert self._answer is not None
        facts = {"model": self._request.model, "request_id": self.request_id, "reason": refusal.message}
        log.warning("answer broken off", extra=facts)
        self._answer.break_off(refusal, self.head.path)
        self._end(result)

    def _refuse(self, refusal: Refusal, result: Result) -> None:
        """Answer with an error of our own."""
        if self._is_over:
            return
        self._account.status = int(refusal.status)
        self._account.code = refusal.code
        is_keep_alive = self._client.may_keep(self.head)
        text = refused(
            refusal,
            request_id=self.request_id,
            is_keep_alive=is_keep_alive,
            path=self.head.path,
            is_head=self.head.method == "HEAD",
            more=opened(self.head, self._shared.cors),
        )
        self._client.write(text)
        self._end(result, is_kept=is_keep_alive and refusal.headers.get("Connection") != "close")

    def _answer_myself(self, text: bytes, status: int) -> None:
        """Answer with what is no error."""
        self._account.status = status
        is_kept = self._client.may_keep(self.head)
        self._client.write(text)
        self._end(Result.OK, is_kept=is_kept)

    def _drop_answer(self) -> None:
        self._answer = self._quoted = None
        if self._upstream is not None:
            self._upstream.leave()
            self._upstream = None

    def _end(self, result: Result, *, is_kept: bool | None = None) -> None:
        """Let everything go, count once, tell the client's connection."""
        if self._is_over:
            return
        self._is_over = True
        self._drop_work()
        shared, answer = self._shared, self._answer
        now = shared.loop.time()
        if self._attempts is not None:
            self._attempts.finished(now)
            shared.telemetry.series(self._request.label).in_flight -= 1
        shared.running.discard(self)
        shared.sweeper.watched.discard(self)
        self._release_body()
        self._account.close(self._request, answer, self._attempts, result, now)
        shared.telemetry.count(self._account)
        if is_kept is None:
            is_kept = answer is not None and answer.is_kept
        self._client.on_over(is_kept=is_kept)

    def _drop_work(self) -> None:
        if self._routing is not None:
            self._routing.cancel()
            self._routing = None
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        if self._upstream is not None:
            self._upstream.leave()
            self._upstream = None

    def _release_body(self) -> None:
        self._shared.bodies.used_bytes -= self._body_bytes
        self._body_bytes = 0
        self._request.body = b""

    def _reply(self) -> Reply:
        head = self.head
        reply = Reply(
            request_id=self.request_id, is_keep_alive=self._client.may_keep(head), host=head.joined.get("host", "")
        )
        if self._filters is not NO_FILTERS:
            reply.more, reply.dropped = added_lines(self._filters)
        if (cors := self._shared.cors).origins:
            reply.more += opened(head, cors)
            reply.dropped_prefix = ALLOW
        return reply
