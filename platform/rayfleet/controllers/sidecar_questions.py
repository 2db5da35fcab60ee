"""The two questions for sidecars: how many requests still run, and why an engine is not ready. Pure.

The first is asked of heads that were taken out of their Service, and lets them go (``planning.replica_set.drain``). The
second is asked of heads that run and are not ready, and is for words alone (``planning.replica.words``): what a sidecar
says of itself decides nothing. Its words are made fit for a status, which is to be written seldom: a reason when it
changes, a sentence twice a minute at most, and no durations.
"""

import re
from dataclasses import replace
from datetime import datetime, timedelta

import orjson

from rayfleet.controllers.sidecar_looks import Question, Reply
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.labels import DRAINING_ANNOTATION
from rayfleet.objects.meta import annotation, name_of
from rayfleet.objects.parts import mapping, whole_number
from rayfleet.objects.pods import is_ready, phase_of
from rayfleet.objects.times import decode_time
from rayfleet.planning.observed import InFlight, SidecarWords
from rayfleet.planning.replica.words import reason_and_message
from rayfleet.planning.replica_set.drain import FAILED_LOOKS, IDLE_LOOKS, SETTLING, sidecar_port

_REWORDED_AFTER = timedelta(seconds=30)  # a choice: a sentence that goes on changing is written so often at most
_SILENT_LOOKS = 3  # without an answer in a row, until what was said is no longer true
_LASTING = re.compile(r" for \d+(\.\d+)? ?(ms|s|min|h)\b")
_OK = 200


def requests_in_flight() -> Question[InFlight]:
    """Return the question to drained heads; that one may go on is news."""
    return Question(
        path="/inflight",
        every=timedelta(seconds=1),
        concerns=lambda head: bool(annotation(head, DRAINING_ANNOTATION)),
        look_after=lambda before, reply, head, now: in_flight_after(
            before or InFlight(), in_flight_in(reply), is_settled=_is_settled(head, now)
        ),
        is_news=lambda _, seen: seen.idle_looks >= IDLE_LOOKS or seen.failed_looks >= FAILED_LOOKS,
    )


def reasons_not_ready() -> Question[SidecarWords]:
    """Return the question to heads that run and are not ready; other words than before are news."""
    return Question(
        path="/ready",
        every=timedelta(seconds=3),
        concerns=lambda head: phase_of(head) == "Running" and not is_ready(head) and sidecar_port(head) is not None,
        look_after=lambda before, reply, head, now: words_after(
            before or SidecarWords(pod=name_of(head)), refusal_in(reply), now
        ),
        is_news=lambda before, after: before is None or _said(before) != _said(after),
    )


def in_flight_after(before: InFlight, requests: int | None, *, is_settled: bool) -> InFlight:
    """Return what is known after one more look; no answer (None) keeps the last count.

    An idle look counts only when gateways have surely seen that the replica left.
    """
    if requests is None:
        return InFlight(requests=before.requests, failed_looks=before.failed_looks + 1)
    idle = before.idle_looks + 1 if is_settled and requests == 0 else 0
    return InFlight(requests=requests, idle_looks=idle)


def in_flight_in(reply: Reply | None) -> int | None:
    """Return the count in a sidecar's answer, None when it has none."""
    if reply is None or reply.status != _OK:
        return None
    count = whole_number(_content(reply).get("in_flight"), -1)
    return count if count >= 0 else None


def words_after(before: SidecarWords, refusal: tuple[str, str] | None, now: datetime) -> SidecarWords:
    """Return the words that hold after one more look; ``refusal`` as of ``refusal_in``."""
    if refusal is None:
        failed = before.failed_looks + 1
        is_silent = failed >= _SILENT_LOOKS
        return SidecarWords(pod=before.pod, reason="") if is_silent else replace(before, failed_looks=failed)
    reason, message = refusal
    is_young = before.said_at is not None and now < before.said_at + _REWORDED_AFTER
    if reason == before.reason and (message == before.message or is_young):
        return replace(before, failed_looks=0)
    return SidecarWords(pod=before.pod, reason=reason, message=message, said_at=now)


def refusal_in(reply: Reply | None) -> tuple[str, str] | None:
    """Return reason and message of a sidecar that is not ready, both empty of one that is; None: it says neither."""
    if reply is None:
        return None
    if reply.status == _OK:
        return "", ""
    match _content(reply):
        case {"reason": str(reason), "message": str(message)} if reason:
            return reason_and_message(reason, _LASTING.sub("", message))
        case {"reason": str(reason)} if reason:
            return reason_and_message(reason, "")
        case _:
            return None


def _said(words: SidecarWords) -> tuple[str | None, str]:
    return words.reason, words.message


def _is_settled(head: ReadOnlyJson, now: datetime) -> bool:
    since = decode_time(annotation(head, DRAINING_ANNOTATION))
    return since is not None and now >= since + SETTLING


def _content(reply: Reply) -> ReadOnlyJson:
    try:
        return mapping(orjson.loads(reply.body))
    except orjson.JSONDecodeError:
        return {}
