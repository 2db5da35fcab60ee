"""RayClusterReplicaSet, from and to JSON. Pure; as ``fleet``."""

from dataclasses import replace

from rayfleet.manifest.checking import schema_errors
from rayfleet.manifest.envelope import envelope_errors, is_same_envelope, is_wrong_at, subject_of
from rayfleet.manifest.policies import decode_drain, decode_recovery, decode_replacement_policy
from rayfleet.manifest.replica_states import (
    decode_rebuilds,
    decode_replica_states,
    encode_rebuilds,
    encode_replica_states,
)
from rayfleet.manifest.schema import REPLICA_SET_NAME_LETTERS, REPLICA_SET_SPEC
from rayfleet.manifest.structural import with_defaults
from rayfleet.manifest.template import (
    decode_selector,
    decode_template,
    selector_errors,
    template_errors,
)
from rayfleet.model.errors import FieldError, ManifestError
from rayfleet.model.fleet import ReplicaSet, ReplicaSetSpec, ReplicaSetStatus, Selector
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import REPLICA_SETS
from rayfleet.objects.conditions import decode_conditions, encode_condition
from rayfleet.objects.labels import INDEX_LABEL
from rayfleet.objects.meta import decode_meta
from rayfleet.objects.parts import INT32_MAX, is_identical, mapping, whole_number
from rayfleet.objects.times import decode_time, encode_micro_time

_COUNTS = (
    ("replicas", "replicas"),
    ("fullyLabeledReplicas", "fully_labeled_replicas"),
    ("readyReplicas", "ready_replicas"),
    ("availableReplicas", "available_replicas"),
    ("terminatingReplicas", "terminating_replicas"),
)


def decode_replica_set(raw: ReadOnlyJson) -> ReplicaSet:
    """Return the replica set; raises ManifestError with everything that is wrong with it.

    Without a selector it selects the labels of its template.
    """
    errors = list(envelope_errors(raw, REPLICA_SETS, REPLICA_SET_NAME_LETTERS))
    spec = raw.get("spec")
    if isinstance(spec, dict):
        errors += schema_errors(spec, REPLICA_SET_SPEC, "spec")
        errors += _meaning_errors(spec, errors)
    if errors:
        raise ManifestError(subject_of(raw, REPLICA_SETS), errors)
    return ReplicaSet(
        meta=decode_meta(raw),
        spec=_decode_spec(with_defaults(raw["spec"], REPLICA_SET_SPEC)),
        status=decode_replica_set_status(raw.get("status")),
    )


def renewed_replica_set(replica_set: ReplicaSet, before: ReadOnlyJson, after: ReadOnlyJson) -> ReplicaSet | None:
    """Return ``decode_replica_set(after)`` where ``replica_set``, decoded from ``before``, says it; else None.

    It says all but the size, which changes with each step of a rollout.
    """
    spec = mapping(after.get("spec"))
    size = whole_number(spec.get("replicas"), -1)
    is_scaled = is_identical(spec, {**mapping(before.get("spec")), "replicas": size})
    if not is_scaled or not 0 <= size <= INT32_MAX or not is_same_envelope(before, after):
        return None
    return replace(
        replica_set,
        meta=decode_meta(after),
        spec=replace(replica_set.spec, replicas=size),
        status=decode_replica_set_status(after.get("status")),
    )


def decode_replica_set_status(raw: object) -> ReplicaSetStatus:
    """Return the status; lenient, it is our own writing."""
    status = mapping(raw)
    since = {uid: decode_time(text) for uid, text in mapping(status.get("readySince")).items()}
    return ReplicaSetStatus(
        observed_generation=status.get("observedGeneration", 0),
        ready_since={uid: time for uid, time in since.items() if time is not None},
        conditions=decode_conditions(status.get("conditions")),
        replica_states=decode_replica_states(status.get("replicaStates")),
        rebuilds=decode_rebuilds(status.get("rebuilds")),
        incarnations=status.get("incarnations", 0),
        resumed=status.get("resumed", ""),
        **{attribute: status.get(name, 0) for name, attribute in _COUNTS},
    )


def encode_replica_set_status(status: ReplicaSetStatus) -> Json:
    """Return the status; every count is said, also 0."""
    encoded: Json = {"observedGeneration": status.observed_generation}
    encoded |= {name: getattr(status, attribute) for name, attribute in _COUNTS}
    encoded["conditions"] = [encode_condition(condition) for condition in status.conditions]
    if status.ready_since:
        encoded["readySince"] = {uid: encode_micro_time(time) for uid, time in sorted(status.ready_since.items())}
    if status.replica_states:
        encoded["replicaStates"] = encode_replica_states(status.replica_states)
    if status.rebuilds:
        encoded["rebuilds"] = encode_rebuilds(status.rebuilds)
    if status.incarnations:
        encoded["incarnations"] = status.incarnations
    if status.resumed:
        encoded["resumed"] = status.resumed
    return encoded


def _meaning_errors(spec: ReadOnlyJson, known_errors: list[FieldError]) -> list[FieldError]:
    if spec.get("template") is None or is_wrong_at(known_errors, "spec.template"):
        return []
    errors = list(template_errors(spec["template"], "spec.template"))
    if spec.get("selector") is not None and not is_wrong_at(known_errors, "spec.selector"):
        selector = decode_selector(spec["selector"])
        errors += selector_errors(selector, decode_template(spec["template"]), "spec.selector", {INDEX_LABEL})
    return errors


def _decode_spec(raw: ReadOnlyJson) -> ReplicaSetSpec:
    template = decode_template(raw["template"])
    given = raw.get("selector")
    return ReplicaSetSpec(
        selector=decode_selector(given) if given is not None else Selector(match_labels=template.labels),
        template=template,
        replicas=raw["replicas"],
        min_ready_seconds=raw["minReadySeconds"],
        replacement_policy=decode_replacement_policy(raw.get("replacementPolicy")),
        recovery=decode_recovery(raw.get("recovery")),
        drain=decode_drain(raw.get("drain")),
    )
