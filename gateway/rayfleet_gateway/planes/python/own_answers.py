"""Answers that a connection gives by itself, without an exchange; each is one request, counted here as such. Edge."""

from rayfleet_gateway.answer.head import refused
from rayfleet_gateway.answer.refusals import Refusal
from rayfleet_gateway.model.values import Outcome, Result
from rayfleet_gateway.planes.python.admitting import OwnAnswer
from rayfleet_gateway.planes.python.contracts import Client
from rayfleet_gateway.planes.python.known import KnownHead
from rayfleet_gateway.planes.python.shared import Shared
from rayfleet_gateway.telemetry.counts import UNKNOWN


def answer_own(shared: Shared, client: Client, known: KnownHead, own: OwnAnswer, started: float) -> bool:
    """Write what the gateway itself has to say; return whether the connection is kept."""
    head, request_id = known.head, known.request_id or shared.names.request_id()
    is_kept = client.may_keep(head)
    text = own.text(request_id=request_id, is_keep_alive=is_kept)
    client.write(text)
    shared.telemetry.count(
        Outcome(
            model=UNKNOWN,
            status=int(own.status),
            result=Result.OK,
            seconds=shared.loop.time() - started,
            request_id=request_id,
            method=head.method,
            path=head.path,
            client=client.address,
            answer_bytes=len(text) - text.index(b"\r\n\r\n") - 4,
        )
    )
    return is_kept


def refuse_unread(shared: Shared, client: Client, refusal: Refusal, started: float) -> None:
    """Write the answer to what is no request; the connection is at its end then."""
    request_id = shared.names.request_id()
    client.write(refused(refusal, request_id=request_id, is_keep_alive=False))
    shared.telemetry.count(
        Outcome(
            model=UNKNOWN,
            status=int(refusal.status),
            result=Result.REFUSED,
            seconds=shared.loop.time() - started,
            request_id=request_id,
            client=client.address,
            code=refusal.code,
        )
    )
