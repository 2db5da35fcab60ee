"""What makes two revisions the same: a hash of what the user wrote, never of a live object. Pure.

CRD defaulting, Kueue and Ray's autoscaler edit live RayClusters, and a newer rayfleet may render ``spec.serving``
differently; neither may roll a fleet. So a template is hashed as written, a short form as the short form, both in a
form that is the same for all texts of one meaning (``normal_form``). Left out: the labels that we add, and knobs of
operation (``suspend``, ``workersToDelete``; with Ray's autoscaler on also the worker counts, which are then its own).

A replica set notes the hash. One that notes none, or one of another form (AIBrix made it, or another rayfleet), is
known by its own template, or by the short form that it was rendered from: taking over rolls nothing. Source:
Deployment's ``FindNewReplicaSet`` and ``EqualIgnoreHash`` (deployment_util.go).
"""

import hashlib
import json

from rayfleet.manifest.checking import schema_errors
from rayfleet.manifest.schema import FLEET_SPEC
from rayfleet.manifest.serving import decode_serving, encode_serving
from rayfleet.model.fleet import Fleet, RayClusterTemplate, ReplicaSet
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.serving import Serving
from rayfleet.objects.labels import FLEET_LABEL, HASH_LABEL, SERVING_ANNOTATION, TEMPLATE_HASH_ANNOTATION
from rayfleet.objects.meta import without_labels
from rayfleet.objects.notes import read_note
from rayfleet.objects.parts import copied, mapping, part
from rayfleet.objects.ray_spec import has_autoscaler, head_group, pod_template, worker_groups
from rayfleet.planning.fleet.normal_form import normal_amount, normal_form

_SERVING = part(FLEET_SPEC, "properties", "serving")
_OUR_LABELS = (FLEET_LABEL, HASH_LABEL)
_AUTOSCALED_COUNTS = ("replicas", "minReplicas", "maxReplicas")
_FORM = "3."
"""Stands before a noted hash: changes with ``normal_form``, so that a hash of another form is not trusted."""


def fleet_identity(fleet: Fleet, template: RayClusterTemplate) -> str:
    """Return the full hash of what the fleet's replicas are made from."""
    if fleet.spec.serving is not None:
        return serving_identity(fleet.spec.serving)
    return template_identity(template)


def serving_identity(serving: Serving) -> str:
    """Return the full hash of a short form."""
    return _hash({"serving": _normal_serving(serving)})


def noted_identity(identity: str) -> str:
    """Return the text by which a replica set notes ``identity``."""
    return f"{_FORM}{identity}"


def is_of_revision(replica_set: ReplicaSet, identity: str, template: RayClusterTemplate) -> bool:
    """Whether the replica set makes what ``template``, of that identity, makes."""
    noted = replica_set.meta.annotations.get(TEMPLATE_HASH_ANNOTATION, "")
    if noted.startswith(_FORM):
        return noted == noted_identity(identity)
    kept = kept_identity(replica_set)
    return kept == identity or kept == template_identity(template)


def kept_identity(replica_set: ReplicaSet) -> str:
    """Return the full hash of what a replica set was made from: of its short form where it notes one."""
    serving = kept_serving(replica_set)
    if serving:
        return serving_identity(decode_serving(serving, default_name=""))
    return template_identity(replica_set.spec.template)


def kept_serving(replica_set: ReplicaSet) -> Json | None:
    """Return the short form that it was rendered from, empty when it notes none, None: none that can be read."""
    note = replica_set.meta.annotations.get(SERVING_ANNOTATION)
    if not note:
        return {}
    serving = read_note(note)
    return None if not serving or schema_errors(serving, _SERVING, SERVING_ANNOTATION) else serving


def template_identity(template: RayClusterTemplate) -> str:
    """Return the full hash of a template."""
    labels, annotations = without_our_labels(template.labels), dict(template.annotations)
    spec = _without_knobs(without_our_labels_on_pods(template.spec))
    return _hash({"labels": labels, "annotations": annotations, "spec": normal_form(spec)})


def without_our_labels(labels: ReadOnlyJson) -> Json:
    """Return labels without those that we add to what we make."""
    return {name: value for name, value in labels.items() if name not in _OUR_LABELS}


def without_our_labels_on_pods(spec: ReadOnlyJson) -> Json:
    """Return a copy of a RayCluster's spec whose pods carry none of our labels, nor what that leaves empty."""
    written = copied(spec)
    for group in (head_group(written), *worker_groups(written)):
        if pod_template(group):
            group |= {"template": without_labels(pod_template(group), _OUR_LABELS)}
    return written


def _without_knobs(spec: Json) -> Json:
    """Return ``spec``, changed in place, without knobs of operation."""
    spec.pop("suspend", None)
    for group in worker_groups(spec):
        _strip_group(group, is_autoscaled=has_autoscaler(spec))
    return spec


def _strip_group(group: Json, *, is_autoscaled: bool) -> None:
    mapping(group.get("scaleStrategy")).pop("workersToDelete", None)
    if is_autoscaled:
        for name in _AUTOSCALED_COUNTS:
            group.pop(name, None)


def _normal_serving(serving: Serving) -> Json:
    encoded = encode_serving(serving)
    resources = mapping(encoded.get("resources"))
    for name in resources.keys() & {"cpu", "memory"}:
        resources[name] = normal_amount(resources[name])
    return encoded


def _hash(source: ReadOnlyJson) -> str:
    canonical = json.dumps(source, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
