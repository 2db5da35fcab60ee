"""The revisions that a fleet keeps, as rows and in full. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from rayfleet.cli.durations import age
from rayfleet.manifest.template import encode_template
from rayfleet.model.fleet import ReplicaSet
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.labels import CHANGE_CAUSE_ANNOTATION, MODEL_LABEL, SERVING_ANNOTATION
from rayfleet.objects.ray_spec import containers, head_group
from rayfleet.planning.fleet.members import revision_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One revision: its number and the replica set that keeps it."""

    number: int
    kept: ReplicaSet
    is_current: bool


def revisions(replica_sets: Iterable[ReplicaSet]) -> list[Revision]:
    """Return the revisions of a fleet's own replica sets, oldest first; the newest is the current one."""
    ordered = sorted(replica_sets, key=revision_of)
    return [
        Revision(number=revision_of(each), kept=each, is_current=index == len(ordered) - 1)
        for index, each in enumerate(ordered)
    ]


def history_rows(kept: Sequence[Revision], now: datetime) -> list[list[str]]:
    """Return the table: a head, then one row for each revision."""
    rows = [["REVISION", "CURRENT", "REPLICAS", "READY", "MODEL", "IMAGE", "AGE", "CHANGE-CAUSE"]]
    for each in kept:
        status, template = each.kept.status, each.kept.spec.template
        rows.append(
            [
                str(each.number),
                "*" if each.is_current else "",
                str(each.kept.spec.replicas),
                str(status.ready_replicas),
                template.labels.get(MODEL_LABEL) or "<none>",
                image_of(template.spec) or "<none>",
                age(each.kept.meta.created_at, now),
                each.kept.meta.annotations.get(CHANGE_CAUSE_ANNOTATION) or "<none>",
            ]
        )
    return rows


def revision_in_full(revision: Revision) -> Json:
    """Return what the revision makes Ray clusters from: the short form where there was one, and the whole template."""
    meta = revision.kept.meta
    shown: Json = {"revision": revision.number, "replicaSet": meta.name}
    if CHANGE_CAUSE_ANNOTATION in meta.annotations:
        shown["changeCause"] = meta.annotations[CHANGE_CAUSE_ANNOTATION]
    if SERVING_ANNOTATION in meta.annotations:
        shown["serving"] = decoded_note(meta.annotations[SERVING_ANNOTATION])
    return {**shown, "template": encode_template(revision.kept.spec.template)}


def decoded_note(text: str) -> object:
    """Return the JSON of a note, or the text itself when it is none."""
    import json

    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    return value


def image_of(spec: ReadOnlyJson) -> str:
    """Return the image of the head's Ray container, empty without one."""
    return next((str(container.get("image") or "") for container in containers(head_group(spec))), "")
