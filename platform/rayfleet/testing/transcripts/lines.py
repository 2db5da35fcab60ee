"""Writes in one line each: who writes, what, and what that changes. Pure.

``fleet: scale RayClusterReplicaSet/fleet-abc replicas 2 -> 3 | ScalingReplicaSet: Scaled up ...``. Without a name it is
the writer's own object. What follows the bar is the event that the write is told by, or why the write was not taken. Of
a status only what differs is shown: of a condition its status and reason; when these stay, the names of the fields that
changed; of replicas how many stand how; of a first status no zeros.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from rayfleet.manifest.fleet import decode_fleet_status
from rayfleet.manifest.replica_states import decode_replica_states
from rayfleet.model.conditions import Condition
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.replica import ReplicaState
from rayfleet.model.resources import FLEETS, REPLICA_SETS, ResourceType
from rayfleet.objects.conditions import Conditions, decode_conditions, encode_condition, find_condition
from rayfleet.objects.labels import TEMPLATE_HASH_ANNOTATION
from rayfleet.objects.meta import annotations_of, name_of
from rayfleet.objects.parts import mapping, part
from rayfleet.planning.writes import Create, CreateTogether, Delete, Event, Merge, ObjectRef, Replace
from rayfleet.testing.planner_world import Pass, Write

_NOTHING = "(nothing changes)"
_CONDITIONS = "conditions"
_STATES = "replicaStates"
_LONG = frozenset({"template", "matchLabels", "parentRefs", TEMPLATE_HASH_ANNOTATION})


def pass_lines(made: Pass) -> Iterator[str]:
    """Yield a line for each write that was tried and for each event of the whole."""
    for write in made.writes:
        yield f"  {made.writer}: {_described(write, made.writer)}{_outcome(write)}"
    for event in made.events:
        yield f"  {made.writer}: event {event.type} {_told(event)}"


def standing(fleet: ReadOnlyJson) -> str:
    """Return how a fleet stands by its status: ``Available 4/4, updated 4, ...; Available=True/...``."""
    status = decode_fleet_status(part(fleet, "status"))
    counts = (
        f"updated {status.updated_replicas}, available {status.available_replicas},"
        f" terminating {status.terminating_replicas}"
    )
    conditions = " ".join(_condition(condition) for condition in status.conditions)
    return f"{status.phase} {status.ready or '-'}, {counts}; {conditions}"


def _outcome(write: Write) -> str:
    if write.problem:
        return f" | not done: {write.problem}"
    event = None if isinstance(write.action, Replace) else write.action.event
    return f" | {_told(event)}" if event is not None else ""


def _told(event: Event) -> str:
    return f"{event.reason}: {event.message}"


def _described(write: Write, writer: str) -> str:
    action, before = write.action, write.before or {}
    match action:
        case Create(manifest=manifest):
            words = ["create", f"{action.resource.kind}/{name_of(manifest)}", *_facts(manifest)]
        case CreateTogether(manifests=manifests):
            words = ["create", f"{action.resource.kind}/{', '.join(name_of(manifest) for manifest in manifests)}"]
        case Merge(ref=ref, patch=patch):
            verb = "scale" if "replicas" in part(patch, "spec") else "merge"
            words = [
                verb,
                *_target(action.resource, ref, writer),
                ", ".join(dict.fromkeys(_changes(before, patch))) or _NOTHING,
            ]
        case Delete(ref=ref, propagation=propagation):
            words = ["delete", *_target(action.resource, ref, writer), f"({propagation.value.lower()})"]
        case Replace(ref=ref, content=content, subresource=subresource):
            changes = " ".join(_status_changes(part(before, "status"), content))
            words = [subresource, *_target(action.resource, ref, writer), changes or _NOTHING]
    return " ".join(words)


def _target(resource: ResourceType, ref: ObjectRef, writer: str) -> Iterator[str]:
    if ref.key.name != writer or resource not in {FLEETS, REPLICA_SETS}:
        yield f"{resource.kind}/{ref.key.name}"


def _facts(manifest: ReadOnlyJson) -> Iterator[str]:
    """Yield what a new object says, but for what is long: each field once, by its last name."""
    leaves = (*_leaves(part(manifest, "spec")), *_leaves(annotations_of(manifest)))
    yield from dict.fromkeys(f"{_short(name)}={_text(value)}" for name, value in leaves)


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, key) if key not in _LONG else ()
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, name)
    else:
        yield name, value


def _changes(before: Any, patch: Any, name: str = "") -> Iterator[str]:
    """Yield the fields of a merge patch whose value is another one; lists of one length entry by entry."""
    if isinstance(patch, Mapping):
        for key, value in patch.items():
            yield from _changes(mapping(before).get(key), value, key)
    elif isinstance(patch, list) and isinstance(before, list) and len(patch) == len(before):
        for one, other in zip(before, patch, strict=True):
            yield from _changes(one, other, name)
    elif before != patch:
        yield f"{_short(name)} {_text(before)} -> {_text(patch)}"


def _status_changes(before: ReadOnlyJson, after: ReadOnlyJson) -> Iterator[str]:
    for name in dict.fromkeys([*after, *before]):
        value = after.get(name)
        if name == _CONDITIONS:
            yield from _condition_changes(decode_conditions(before.get(name)), decode_conditions(value))
        elif name == _STATES:
            yield from _state_changes(before.get(name), value)
        elif before.get(name) != value and (before or value):
            yield f"{name}({len(value)})" if isinstance(value, Mapping) else f"{name}={_text(value)}"


def _state_changes(before: Any, after: Any) -> Iterator[str]:
    """Yield how many replicas stand how, if any of it changed; where trouble is named, with the pod and container."""
    earlier, now = ([_standing(state) for state in decode_replica_states(states)] for states in (before, after))
    if earlier != now:
        counts = Counter(now)
        yield f"replicas[{', '.join(f'{count} {words}' for words, count in counts.items())}]"


def _standing(state: ReplicaState) -> str:
    place = "/".join(word for word in (state.pod, state.container) if word)
    words = " ".join(word for word in (state.phase.value, state.progress, state.reason) if word)
    return f"{words} ({place})" if place else words


def _condition_changes(before: Conditions, after: Conditions) -> Iterator[str]:
    for name in dict.fromkeys(condition.type for condition in (*after, *before)):
        earlier, now = find_condition(before, name), find_condition(after, name)
        if now is None:
            yield f"{name}=gone"
        elif earlier is None or (earlier.status, earlier.reason) != (now.status, now.reason):
            yield _condition(now)
        elif earlier != now:
            known = encode_condition(earlier)
            changed = (field for field, value in encode_condition(now).items() if known.get(field) != value)
            yield f"{name}({', '.join(changed)})"


def _condition(condition: Condition) -> str:
    return f"{condition.type}={condition.status.value}/{condition.reason}"


def _short(name: str) -> str:
    """Return a label's or an annotation's name without its domain."""
    return name.rpartition("/")[2]


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else orjson.dumps(value).decode()
