"""From a whole request to the rule that it takes, at once or, for odd bodies, in slices and threads.

Small plain bodies are looked at in the step that brought them. Big ones are looked at in slices of a few milliseconds,
with the loop's other work between them; packed ones are unpacked in a thread first. All end in one call.
"""

import asyncio
import logging
from collections.abc import Callable, Generator

from rayfleet_gateway.answer import refusals
from rayfleet_gateway.answer.refusals import Refusal
from rayfleet_gateway.model.errors import BodyTooLarge, UnreadableBody
from rayfleet_gateway.model.values import InferenceRequest
from rayfleet_gateway.planes.python.filtering import edits_of
from rayfleet_gateway.planes.python.guarding import guarded
from rayfleet_gateway.planes.python.known import KnownHead, Routed
from rayfleet_gateway.planes.python.shared import Shared
from rayfleet_gateway.request.model import asked, needs_slices, slices
from rayfleet_gateway.request.paths import LISTED_METHOD
from rayfleet_gateway.route.match import matches_path
from rayfleet_gateway.route.opening import opens_path, takes_method

log = logging.getLogger(__name__)


def routed_at_once(shared: Shared, request: InferenceRequest, known: KnownHead) -> Routed | Refusal | None:
    """Return what a request takes, or why it is refused; None when that takes longer, and ``Routing``."""
    head, body = request.head, request.body
    if "content-encoding" in head.joined or needs_slices(head, body):
        return None
    try:
        model = asked(head, body, shared.scan_limits)
    except UnreadableBody as error:
        return refusals.of_body(error, shared.settings.body_limit_bytes)
    return _found(shared, request, known, model)


class Routing:
    """Finds the rule of one request; ``on_routed`` hears of it once, perhaps before ``start`` returns.

    ``on_failed`` is called instead after a fault of ours.
    """

    __slots__ = (
        "_has_turn",
        "_is_cancelled",
        "_known",
        "_on_failed",
        "_on_routed",
        "_request",
        "_shared",
        "request_id",
    )

    def __init__(
        self,
        shared: Shared,
        request: InferenceRequest,
        known: KnownHead,
        on_routed: Callable[[Routed | Refusal], None],
        on_failed: Callable[[], None],
    ) -> None:
        self.request_id = request.request_id
        self._on_failed = on_failed
        self._shared = shared
        self._request = request
        self._known = known
        self._on_routed = on_routed
        self._is_cancelled = False
        self._has_turn = False  # at unpacking

    def start(self) -> None:
        """Begin."""
        coding = self._request.head.joined.get("content-encoding")
        if coding is None or coding.strip().lower() == "identity":
            self._look(self._request.body)
        else:
            self._shared.unpacking.enter(self._unpack)

    def cancel(self) -> None:
        """Let ``on_routed`` not be called any more."""
        self._is_cancelled = True

    def fail(self) -> None:
        """End it after a fault of ours."""
        self._end_turn()
        self._on_failed()

    @guarded
    def _unpack(self) -> None:
        self._has_turn = True
        if self._is_cancelled:
            self._end_turn()
            return
        coding, limit = self._request.head.joined["content-encoding"], self._shared.settings.body_limit_bytes
        work = self._shared.unpacking.unpacked(self._request.body, coding, limit)
        work.add_done_callback(self._on_unpacked)

    @guarded
    def _on_unpacked(self, work: asyncio.Future[bytes | BodyTooLarge | UnreadableBody]) -> None:
        if self._is_cancelled or work.cancelled():
            self._end_turn()
            return
        plain = work.result()
        if isinstance(plain, bytes):
            self._look(plain)
        else:
            self._refuse(plain)

    def _look(self, plain: bytes) -> None:
        head, limits = self._request.head, self._shared.scan_limits
        if needs_slices(head, plain):
            self._slice(slices(head, plain, limits))
            return
        try:
            model = asked(head, plain, limits)
        except UnreadableBody as error:
            self._refuse(error)
        else:
            self._tell(_found(self._shared, self._request, self._known, model))

    @guarded
    def _slice(self, work: Generator[None, None, str]) -> None:
        if self._is_cancelled:
            self._end_turn()
            return
        try:
            next(work)
        except StopIteration as end:
            self._tell(_found(self._shared, self._request, self._known, end.value))
        except UnreadableBody as error:
            self._refuse(error)
        else:
            self._shared.loop.call_soon(self._slice, work)

    def _refuse(self, error: UnreadableBody | BodyTooLarge) -> None:
        self._tell(refusals.of_body(error, self._shared.settings.body_limit_bytes))

    def _tell(self, routed: Routed | Refusal) -> None:
        self._end_turn()
        self._on_routed(routed)

    def _end_turn(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._shared.unpacking.leave()


def _found(shared: Shared, request: InferenceRequest, known: KnownHead, model: str) -> Routed | Refusal:
    head, table = request.head, shared.tables.table
    request.model = model
    if known.routed is not None and known.routed_in is table and known.model == model:
        request.label = known.label
        return known.routed
    rule = table.rule_for(
        method=head.method, host=head.host, path=head.path, query=head.query, headers=head.joined, model=model
    )
    if rule is None:
        rules = table.by_model.get(model, ())
        if any(matches_path(rule.match, head.path) for rule in rules):
            return refusals.no_match(model, head.path)
        return refusals.no_rule(model, head.path, table.models, sorted({rule.match.path for rule in rules}))
    if not takes_method(rule, head):
        return refusals.method_not_allowed(head.path, LISTED_METHOD)
    if not opens_path(rule, head.path):
        return refusals.path_not_found(head.path)
    if model in table.by_model:
        request.label = model
    known.routed_in, known.model, known.label = table, model, request.label
    known.heeds_length = table.looks_at("content-length", model)
    known.routed = routed = Routed(rule, edits_of(rule, head))
    return routed
