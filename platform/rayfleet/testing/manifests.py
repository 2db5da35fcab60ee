"""Fleets and replica sets back as manifests: what decoding must have lost nothing of. Pure."""

from rayfleet.manifest.serving import encode_serving
from rayfleet.manifest.template import encode_selector, encode_template
from rayfleet.model.fleet import Fleet, ReplicaSet, Strategy
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectMeta
from rayfleet.model.resources import FLEETS, REPLICA_SETS


def encode_fleet(fleet: Fleet) -> Json:
    """Return the manifest of the fleet, without status."""
    spec = fleet.spec
    encoded: Json = {"replicas": spec.replicas, "selector": encode_selector(spec.selector)}
    if spec.template is not None:
        encoded["template"] = encode_template(spec.template)
    if spec.serving is not None:
        encoded["serving"] = encode_serving(spec.serving)
    encoded["strategy"] = _encode_strategy(spec.strategy)
    encoded["minReadySeconds"] = spec.min_ready_seconds
    encoded["revisionHistoryLimit"] = spec.revision_history_limit
    encoded["paused"] = spec.paused
    encoded["progressDeadlineSeconds"] = spec.progress_deadline_seconds
    return {
        "apiVersion": FLEETS.api_version,
        "kind": FLEETS.kind,
        "metadata": _encode_meta(fleet.meta),
        "spec": encoded,
    }


def encode_replica_set(replica_set: ReplicaSet) -> Json:
    """Return the manifest of the replica set, without status."""
    spec = replica_set.spec
    return {
        "apiVersion": REPLICA_SETS.api_version,
        "kind": REPLICA_SETS.kind,
        "metadata": _encode_meta(replica_set.meta),
        "spec": {
            "replicas": spec.replicas,
            "minReadySeconds": spec.min_ready_seconds,
            "selector": encode_selector(spec.selector),
            "template": encode_template(spec.template),
        },
    }


def _encode_meta(meta: ObjectMeta) -> Json:
    """Return what a user may write of ``metadata``."""
    encoded: Json = {"name": meta.name, "namespace": meta.namespace}
    if meta.labels:
        encoded["labels"] = dict(meta.labels)
    if meta.annotations:
        encoded["annotations"] = dict(meta.annotations)
    return encoded


def _encode_strategy(strategy: Strategy) -> Json:
    bounds = {"maxSurge": strategy.max_surge, "maxUnavailable": strategy.max_unavailable}
    given = {
        name: bound if isinstance(bound, int) else str(bound) for name, bound in bounds.items() if bound is not None
    }
    return {"type": strategy.type.value, **({"rollingUpdate": given} if given else {})}
