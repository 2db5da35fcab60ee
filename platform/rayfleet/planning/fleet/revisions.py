"""Replica sets as records of revisions: made, annotated, numbered, and in the end cleaned up. Pure.

Annotations are Deployment's (``deployment.kubernetes.io/...``), so what reads a Deployment's history reads ours.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from itertools import count

from rayfleet.manifest.policies import encode_policies
from rayfleet.manifest.serving import encode_serving
from rayfleet.manifest.template import encode_selector, encode_template
from rayfleet.model.fleet import Fleet, RayClusterTemplate, Selector
from rayfleet.model.json import Json
from rayfleet.model.resources import FLEETS, REPLICA_SETS
from rayfleet.model.serving import Serving
from rayfleet.objects.labels import (
    DESIRED_REPLICAS_ANNOTATION,
    FLEET_LABEL,
    HASH_LABEL,
    HEALTHY_ANNOTATION,
    LAST_APPLIED_ANNOTATION,
    MAX_REPLICAS_ANNOTATION,
    OVERLAY_ANNOTATION,
    REVISION_ANNOTATION,
    REVISION_HISTORY_ANNOTATION,
    ROLLBACK_ANNOTATION,
    ROLLED_BACK_ANNOTATION,
    SERVING_ANNOTATION,
    SURGE_WITHDRAWN_ANNOTATION,
    TEMPLATE_HASH_ANNOTATION,
)
from rayfleet.objects.owners import controller_reference
from rayfleet.objects.ray_spec import head_group, worker_groups
from rayfleet.planning.fleet.bounds import Bounds
from rayfleet.planning.fleet.identity import noted_identity
from rayfleet.planning.fleet.members import Member, next_revision, revision
from rayfleet.planning.fleet.view import View
from rayfleet.planning.names import replica_set_name, template_hash
from rayfleet.planning.writes import Delete, ref_to

_OWN_ANNOTATIONS = frozenset(
    {
        LAST_APPLIED_ANNOTATION,
        REVISION_ANNOTATION,
        REVISION_HISTORY_ANNOTATION,
        DESIRED_REPLICAS_ANNOTATION,
        MAX_REPLICAS_ANNOTATION,
        TEMPLATE_HASH_ANNOTATION,
        SERVING_ANNOTATION,
        OVERLAY_ANNOTATION,
        ROLLBACK_ANNOTATION,
        ROLLED_BACK_ANNOTATION,
        HEALTHY_ANNOTATION,
        SURGE_WITHDRAWN_ANNOTATION,
    }
)
_HISTORY_LETTERS = 2000


def revision_names(fleet: Fleet, identity: str) -> Iterator[str]:
    """Yield the names that a new replica set may have, by preference, without end: another for each collision."""
    for collisions in count(fleet.status.collision_count or 0):
        yield replica_set_name(fleet.meta.name, template_hash(identity, collisions))


def free_hash(view: View) -> tuple[str, int | None]:
    """Return the short hash of the new revision and the collision count it took to find a name that is free."""
    before = view.fleet.status.collision_count
    met = next(n for n, name in enumerate(revision_names(view.fleet, view.identity)) if name not in view.taken_names)
    collisions = (before or 0) + met if met else before
    return template_hash(view.identity, collisions), collisions


def replica_set_manifest(view: View, short_hash: str, replicas: int) -> Json:
    """Return the replica set of the new revision."""
    fleet = view.fleet
    template = labelled_template(view.template, fleet.meta.name, short_hash)
    selector = Selector(
        match_labels={**fleet.spec.selector.match_labels, HASH_LABEL: short_hash},
        match_expressions=fleet.spec.selector.match_expressions,
    )
    annotations = copied_annotations(fleet) | size_annotations(view.bounds)
    annotations[REVISION_ANNOTATION] = str(next_revision(view.old))
    annotations[TEMPLATE_HASH_ANNOTATION] = noted_identity(view.identity)
    if fleet.spec.serving is not None:
        annotations[SERVING_ANNOTATION] = serving_note(fleet.spec.serving)
    if view.observed.overlay:
        annotations[OVERLAY_ANNOTATION] = view.observed.overlay
    return {
        "apiVersion": REPLICA_SETS.api_version,
        "kind": REPLICA_SETS.kind,
        "metadata": {
            "name": replica_set_name(fleet.meta.name, short_hash),
            "namespace": fleet.meta.namespace,
            "labels": dict(template.labels),
            "annotations": annotations,
            "ownerReferences": [controller_reference(FLEETS, fleet.meta.name, fleet.meta.uid)],
        },
        "spec": {
            "replicas": replicas,
            "minReadySeconds": fleet.spec.min_ready_seconds,
            "selector": encode_selector(selector),
            "template": encode_template(template),
            **encode_policies(fleet.spec.recovery, fleet.spec.drain, fleet.spec.replacement_policy),
        },
    }


def labelled_template(template: RayClusterTemplate, fleet_name: str, short_hash: str) -> RayClusterTemplate:
    """Return the template with our labels: the hash on the RayCluster, the fleet's name on head and worker pods."""
    spec = copy.deepcopy(template.spec)
    for group in (head_group(spec), *worker_groups(spec)):
        meta = group.setdefault("template", {}).setdefault("metadata", {})
        meta["labels"] = {**(meta.get("labels") or {}), FLEET_LABEL: fleet_name}
    return RayClusterTemplate(
        labels={**template.labels, HASH_LABEL: short_hash}, annotations=template.annotations, spec=spec
    )


def copied_annotations(fleet: Fleet) -> dict[str, str]:
    """Return the fleet's annotations that its replica sets carry too."""
    return {name: value for name, value in fleet.meta.annotations.items() if name not in _OWN_ANNOTATIONS}


def size_annotations(bounds: Bounds) -> dict[str, str]:
    """Return what a replica set notes of the fleet's size when it was last scaled: shares are reckoned from it."""
    return {DESIRED_REPLICAS_ANNOTATION: str(bounds.desired), MAX_REPLICAS_ANNOTATION: str(bounds.most)}


def serving_note(serving: Serving) -> str:
    """Return the text by which a replica set keeps the short form that it was rendered from."""
    return json.dumps(encode_serving(serving), sort_keys=True, separators=(",", ":"))


def revision_annotations(view: View, new: Member) -> Mapping[str, str]:
    """Return the annotations of the new replica set that ought to change: the fleet's own, and a raised revision.

    When an old template comes back, its replica set gets a new number and notes the one it had.
    """
    present = new.replica_set.meta.annotations
    desired = copied_annotations(view.fleet)
    number = next_revision(view.old)
    if number > revision(new):
        desired[REVISION_ANNOTATION] = str(number)
        if present.get(REVISION_ANNOTATION):
            history = f"{present.get(REVISION_HISTORY_ANNOTATION, '')},{present[REVISION_ANNOTATION]}".lstrip(",")
            while len(history) > _HISTORY_LETTERS:
                history = history.partition(",")[2]
            desired[REVISION_HISTORY_ANNOTATION] = history
    return {name: value for name, value in desired.items() if present.get(name) != value}


def present_revision(view: View, *, is_created: bool) -> int:
    """Return the number of the present template once this pass is carried out, for the fleet's status.

    ``is_created``: the pass makes its replica set. Without one it is that of the template before, which is the highest.
    """
    raised = next_revision(view.old)
    if view.new is None:
        return raised if is_created else raised - 1
    return revision(view.new) if view.fleet.spec.paused else max(revision(view.new), raised)


def cleanup(view: View) -> Iterator[Delete]:
    """Yield the old replica sets beyond the history limit, lowest revision first.

    Only empty ones that are up to date.
    """
    kept = view.fleet.spec.revision_history_limit
    candidates = [member for member in view.old if member.replica_set.meta.deleted_at is None]
    surplus = max(0, len(candidates) - kept)
    for member in sorted(candidates, key=revision)[:surplus]:
        meta, status = member.replica_set.meta, member.replica_set.status
        is_empty = not (member.size or member.active or member.terminating or status.replicas)
        if is_empty and meta.generation <= status.observed_generation:
            yield Delete(resource=REPLICA_SETS, ref=ref_to(meta))
