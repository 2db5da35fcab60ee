"""How a deletion changes the object: its grace period, its mark, the finalizers of the collector. Pure.

Source: apiserver ``pkg/registry/rest/delete.go`` and ``pkg/registry/generic/registry/store.go`` (v1.36).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rayfleet.local.apiserver.kinds.kind import Kind
from rayfleet.local.apiserver.writes.delete_options import DeleteOptions
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.meta import is_terminating
from rayfleet.objects.times import decode_time, encode_time

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grace:
    """The time that an object is given to end: ``seconds``, until ``end``."""

    seconds: int
    end: datetime


def is_waited_for(kind: Kind, manifest: ReadOnlyJson, options: DeleteOptions) -> bool:
    """Whether the object has its time already, and ``options`` do not make it shorter: nothing is to be done then."""
    given = _given_seconds(manifest)
    is_shorter = options.grace_seconds is not None and options.grace_seconds < given
    return kind.rules.grace_seconds is not None and given > 0 and not is_shorter


def grace_of(kind: Kind, manifest: ReadOnlyJson, options: DeleteOptions, now: datetime) -> Grace | None:
    """Return the time that the object is given from now on; None when it has none, or had it.

    Asked of objects that are not waited for. A shorter time counts from the first deletion: of 20 s, 3 s ago, shortened
    to 5 s, 2 s are left.
    """
    if kind.rules.grace_seconds is None:
        return None
    deleted = decode_time(manifest["metadata"].get("deletionTimestamp"))
    if deleted is None:
        seconds = _first_seconds(kind, manifest, options)
        return Grace(seconds=seconds, end=now + timedelta(seconds=seconds))
    given = _given_seconds(manifest)
    if not given or options.grace_seconds is None:
        return None
    seconds = options.grace_seconds
    end = deleted - timedelta(seconds=given) + timedelta(seconds=seconds)
    return Grace(seconds=seconds, end=end) if end >= now else Grace(seconds=min(seconds, 1), end=now)


def remaining_finalizers(finalizers: Sequence[str], policy: str) -> list[str]:
    """Return the finalizers with the ones of the collector as the policy, or else the object, has them."""
    is_orphan = policy == "Orphan" if policy else ORPHAN in finalizers
    is_foreground = policy == "Foreground" if policy else FOREGROUND in finalizers
    others = [each for each in finalizers if each not in (ORPHAN, FOREGROUND)]
    changed = others + [ORPHAN] * is_orphan + [FOREGROUND] * is_foreground
    return list(finalizers) if set(changed) == set(finalizers) else changed


def mark(manifest: Json, grace: Grace | None, finalizers: Sequence[str], now: datetime) -> None:
    """Write into the object, in place, that it is being deleted; being deleted counts as a generation, once."""
    meta = manifest["metadata"]
    deleted = decode_time(meta.get("deletionTimestamp"))
    if deleted is None and meta.get("generation"):
        meta["generation"] += 1
    if grace is not None:
        meta["deletionTimestamp"] = encode_time(grace.end)
    elif deleted is None or deleted > now:
        meta["deletionTimestamp"] = encode_time(now)
    meta["deletionGracePeriodSeconds"] = grace.seconds if grace is not None else 0
    meta.pop("finalizers", None)
    if finalizers:
        meta["finalizers"] = list(finalizers)


def _given_seconds(manifest: ReadOnlyJson) -> int:
    """Return the seconds that an object that is being deleted was given; 0 when it is not, or has none."""
    seconds = manifest["metadata"].get("deletionGracePeriodSeconds") or 0
    return int(seconds) if is_terminating(manifest) else 0


def _first_seconds(kind: Kind, manifest: ReadOnlyJson, options: DeleteOptions) -> int:
    assert kind.rules.grace_seconds is not None, "asked of graceful kinds only"
    usual = kind.rules.grace_seconds(manifest)
    if options.grace_seconds is None or (usual == 0 and _never_waits(kind, manifest)):
        return usual
    return options.grace_seconds


def _never_waits(kind: Kind, manifest: ReadOnlyJson) -> bool:
    """Whether nobody runs the object, so that no grace period can be asked for either."""
    assert kind.rules.grace_seconds is not None, "asked of graceful kinds only"
    patient = {**manifest, "spec": {**manifest["spec"], "terminationGracePeriodSeconds": 1}}
    return kind.rules.grace_seconds(patient) == 0
