"""What makes two revisions the same: a hash of what the user wrote, never of a live object. Pure.

CRD defaulting, Kueue and Ray's autoscaler edit live RayClusters, and a newer rayfleet may render ``spec.serving``
differently; neither may roll a fleet. So a template is hashed as written, a short form as the short form. Left out: the
labels that we add, and knobs of operation (``suspend``, ``workersToDelete``; with Ray's autoscaler on also the worker
counts, which are then its own).
"""

import hashlib
import json

from rayfleet.manifest.serving import encode_serving
from rayfleet.model.fleet import Fleet, RayClusterTemplate, ReplicaSet
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.labels import FLEET_LABEL, HASH_LABEL, TEMPLATE_HASH_ANNOTATION
from rayfleet.objects.parts import copied
from rayfleet.objects.ray_spec import head_group, worker_groups

_OUR_LABELS = (FLEET_LABEL, HASH_LABEL)
_AUTOSCALED_COUNTS = ("replicas", "minReplicas", "maxReplicas")


def fleet_identity(fleet: Fleet, template: RayClusterTemplate) -> str:
    """Return the full hash of what the fleet's replicas are made from."""
    if fleet.spec.serving is not None:
        return _hash({"serving": encode_serving(fleet.spec.serving)})
    return template_identity(template)


def replica_set_identity(replica_set: ReplicaSet) -> str:
    """Return the full hash that the replica set was made with; one that AIBrix made is hashed by its template."""
    noted = replica_set.meta.annotations.get(TEMPLATE_HASH_ANNOTATION)
    return noted or template_identity(replica_set.spec.template)


def template_identity(template: RayClusterTemplate) -> str:
    """Return the full hash of a template."""
    spec = copied(template.spec)
    spec.pop("suspend", None)
    is_autoscaled = spec.get("enableInTreeAutoscaling") is True
    for group in worker_groups(spec):
        _strip_group(group, is_autoscaled=is_autoscaled)
    for group in (head_group(spec), *worker_groups(spec)):
        _strip_pod_labels(group)
    labels = {name: value for name, value in template.labels.items() if name not in _OUR_LABELS}
    return _hash({"labels": labels, "annotations": dict(template.annotations), "spec": spec})


def _strip_group(group: Json, *, is_autoscaled: bool) -> None:
    strategy = group.get("scaleStrategy")
    if isinstance(strategy, dict):
        strategy.pop("workersToDelete", None)
        if not strategy:
            del group["scaleStrategy"]
    if is_autoscaled:
        for name in _AUTOSCALED_COUNTS:
            group.pop(name, None)


def _strip_pod_labels(group: Json) -> None:
    """Take our labels out of a pod template, and what is left empty by that: the template is then as it was written."""
    template = group.get("template")
    meta = template.get("metadata") if isinstance(template, dict) else None
    labels = meta.get("labels") if isinstance(meta, dict) else None
    if not isinstance(template, dict) or not isinstance(meta, dict):
        return
    if isinstance(labels, dict):
        for name in _OUR_LABELS:
            labels.pop(name, None)
        if not labels:
            del meta["labels"]
    if not meta:
        del template["metadata"]


def _hash(source: ReadOnlyJson) -> str:
    canonical = json.dumps(source, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
