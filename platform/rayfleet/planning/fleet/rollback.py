"""Back to a revision that a replica set keeps: the change of the fleet that a user would have to write. Pure.

The template comes back without the labels that we add; a short form (``spec.serving``) comes back as the short form,
from a note on the replica set. The cause that the history shows comes back too. Source: Deployment's ``rollback.go``
(``deprecated.deployment.rollback.to``, removed from apps/v1) and kubectl's ``rollout undo``, with their reasons.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from rayfleet.manifest.serving import decode_serving
from rayfleet.manifest.template import decode_template, encode_template
from rayfleet.model.fleet import RayClusterTemplate, ReplicaSet
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.labels import (
    CHANGE_CAUSE_ANNOTATION,
    HASH_LABEL,
    MODEL_LABEL,
    ROLLED_BACK_ANNOTATION,
)
from rayfleet.objects.merge_patch import merge_patch_to
from rayfleet.objects.meta import annotation, label, name_of
from rayfleet.objects.parts import part
from rayfleet.planning.fleet.identity import (
    kept_identity,
    kept_serving,
    serving_identity,
    template_identity,
    without_our_labels_on_pods,
)
from rayfleet.planning.fleet.members import revision_of


class RollbackOutcome(StrEnum):
    """What came of it; the values are the reasons of Deployment's events."""

    CHANGES = "DeploymentRollback"
    NOT_KEPT = "DeploymentRollbackRevisionNotFound"
    UNCHANGED = "DeploymentRollbackTemplateUnchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """``patch`` is the JSON merge patch of the fleet, empty unless something changes; ``message`` says it in words.

    ``identity`` is that of the template then.
    """

    outcome: RollbackOutcome
    message: str
    revision: int = 0
    identity: str = ""
    patch: Json = field(default_factory=dict)


def rollback_to(fleet: ReadOnlyJson, replica_sets: Sequence[ReplicaSet], revision: int) -> Rollback:
    """Return the change of ``fleet`` (as the API server gave it) that brings ``revision`` back; 0: the one before.

    ``replica_sets`` are the fleet's own. Nothing is raised: what cannot be done is an outcome.
    """
    number = revision or _previous_revision(replica_sets)
    kept = next((each for each in replica_sets if number and revision_of(each) == number), None)
    if kept is None:
        return Rollback(outcome=RollbackOutcome.NOT_KEPT, message=_not_kept(revision))
    spec, serving = part(fleet, "spec"), kept_serving(kept)
    if serving is None:
        message = f"Revision {number} keeps a spec.serving that cannot be read: its annotation was changed"
        return Rollback(outcome=RollbackOutcome.NOT_KEPT, message=message)
    if not serving and not part(spec, "selector"):
        message = f"Revision {number} keeps no spec.serving: an older rayfleet made it"
        return Rollback(outcome=RollbackOutcome.NOT_KEPT, message=message)
    identity = kept_identity(kept)
    if _identity(fleet) == identity:
        message = f"Revision {number} is what the fleet has now"
        return Rollback(outcome=RollbackOutcome.UNCHANGED, message=message, revision=number)
    return Rollback(
        outcome=RollbackOutcome.CHANGES,
        message=f"Rolled back to revision {number}",
        revision=number,
        identity=identity,
        patch=_patch(fleet, kept, serving),
    )


def _patch(fleet: ReadOnlyJson, kept: ReplicaSet, serving: ReadOnlyJson) -> Json:
    present = {name: value for name in ("template", "serving") if (value := part(fleet, "spec", name))}
    source = {"serving": serving} if serving else {"template": encode_template(_written(kept.spec.template))}
    patch: Json = {"spec": merge_patch_to(present, source)}
    annotations: Json = {}
    cause = kept.meta.annotations.get(CHANGE_CAUSE_ANNOTATION)
    if cause != (annotation(fleet, CHANGE_CAUSE_ANNOTATION) or None):
        annotations |= {CHANGE_CAUSE_ANNOTATION: cause}
    if annotation(fleet, ROLLED_BACK_ANNOTATION):  # asked for, so it may be tried again
        annotations |= {ROLLED_BACK_ANNOTATION: None}
    if annotations:
        patch |= {"metadata": {"annotations": annotations}}
    return patch


def _previous_revision(replica_sets: Sequence[ReplicaSet]) -> int:
    """Return the highest revision but one, 0 without one."""
    numbers = sorted({revision_of(each) for each in replica_sets} - {0})
    return numbers[-2] if len(numbers) > 1 else 0


def _not_kept(revision: int) -> str:
    return f"Revision {revision} is not kept" if revision else "There is no revision before this one"


def _written(template: RayClusterTemplate) -> RayClusterTemplate:
    labels = {name: value for name, value in template.labels.items() if name != HASH_LABEL}
    spec = without_our_labels_on_pods(template.spec)
    return RayClusterTemplate(labels=labels, annotations=template.annotations, spec=spec)


def _identity(fleet: ReadOnlyJson) -> str:
    if serving := part(fleet, "spec", "serving"):
        default_name = label(fleet, MODEL_LABEL) or name_of(fleet)
        return serving_identity(decode_serving(serving, default_name=default_name))
    return template_identity(decode_template(part(fleet, "spec", "template")))
