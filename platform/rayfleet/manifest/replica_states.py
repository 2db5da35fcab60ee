"""``replicaStates`` and ``rebuilds`` of a status, from and to JSON. Pure; lenient, they are our own writing."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.replica import Rebuild, ReplicaPhase, ReplicaState
from rayfleet.objects.parts import mapping, mappings
from rayfleet.objects.times import decode_time, encode_micro_time

_TEXTS = ("reason", "message", "progress", "pod", "container", "incarnation")


def decode_replica_states(raw: object) -> tuple[ReplicaState, ...]:
    """Return the states that can be read, in order."""
    return tuple(state for item in mappings(raw) if (state := _state(item)) is not None)


class WrittenState(NamedTuple):
    """What others decide on of a state (``ReplicaState``), as it is written; what is absent is empty."""

    uid: str
    phase: str
    reason: str
    incarnation: str


def written_states(raw: object) -> Iterator[WrittenState]:
    """Yield that of each state, without decoding the rest."""
    for item in mappings(raw):
        yield WrittenState(*(str(item.get(name) or "") for name in WrittenState._fields))


def encode_replica_states(states: Iterable[ReplicaState]) -> list[Json]:
    """Return the states in order; what is empty is left out."""
    return [_encoded_state(state) for state in states]


def decode_rebuilds(raw: object) -> tuple[Rebuild, ...]:
    """Return the rebuilds that can be read, in order."""
    return tuple(rebuild for item in mappings(raw) if (rebuild := _rebuild(item)) is not None)


def encode_rebuilds(rebuilds: Iterable[Rebuild]) -> list[Json]:
    """Return the rebuilds in order."""
    return [
        {
            "index": rebuild.index,
            "name": rebuild.name,
            "time": encode_micro_time(rebuild.time),
            "reason": rebuild.reason,
            "message": rebuild.message,
            **({"open": True} if rebuild.is_open else {}),
        }
        for rebuild in rebuilds
    ]


def _state(item: ReadOnlyJson) -> ReplicaState | None:
    since = decode_time(item.get("since"))
    if since is None or item.get("phase") not in set(ReplicaPhase):
        return None
    return ReplicaState(
        name=item.get("name", ""),
        uid=item.get("uid", ""),
        phase=ReplicaPhase(item["phase"]),
        since=since,
        stages={name: float(seconds) for name, seconds in mapping(item.get("stages")).items()},
        **{name: item.get(name, "") for name in _TEXTS},
    )


def _encoded_state(state: ReplicaState) -> Json:
    encoded: Json = {"name": state.name, "uid": state.uid, "phase": state.phase.value}
    encoded["since"] = encode_micro_time(state.since)
    encoded |= {name: text for name in _TEXTS if (text := getattr(state, name))}
    if state.stages:
        encoded["stages"] = dict(sorted(state.stages.items()))
    return encoded


def _rebuild(item: ReadOnlyJson) -> Rebuild | None:
    time = decode_time(item.get("time"))
    if time is None:
        return None
    return Rebuild(
        index=item.get("index", 0),
        name=item.get("name", ""),
        time=time,
        reason=item.get("reason", ""),
        message=item.get("message", ""),
        is_open=item.get("open") is True,
    )
