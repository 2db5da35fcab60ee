"""What must be known of a pod to clean up after it when its object is gone: one small file in the pod's folder."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.labels import RAY_CLUSTER_LABEL
from rayfleet.objects.meta import label, namespace_of, uid_of
from rayfleet.objects.owners import controller_uid
from rayfleet.objects.times import encode_micro_time, read_time

_FILE = "pod.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodNote:
    """``ray_cluster`` is the key of the Ray cluster's temporary folder, empty without Ray."""

    ray_cluster: str
    started_at: datetime


def ray_cluster_key(pod: ReadOnlyJson, state: str) -> str:
    """Return a short name for the pod's Ray cluster, unique on this machine; a pod without an owner is its own cluster.

    Pods written by hand are one cluster when they carry the same ``ray.io/cluster``. Pure.
    """
    cluster = label(pod, RAY_CLUSTER_LABEL)
    identity = controller_uid(pod) or (f"{namespace_of(pod)}/{cluster}" if cluster else uid_of(pod))
    return hashlib.sha256(f"{state}:{identity}".encode()).hexdigest()[:8]


def write_note(folder: Path, note: PodNote) -> None:
    """Write the note, once: the first start of a pod stays its start."""
    folder.mkdir(parents=True, exist_ok=True)
    if read_note(folder) is None:
        content = {"ray_cluster": note.ray_cluster, "started_at": encode_micro_time(note.started_at)}
        (folder / _FILE).write_text(json.dumps(content), encoding="utf-8")


def read_note(folder: Path) -> PodNote | None:
    """Return the note, None when there is none."""
    try:
        raw = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        return PodNote(ray_cluster=raw["ray_cluster"], started_at=read_time(raw["started_at"]))
    except (OSError, ValueError, KeyError):
        return None


def forget_note(folder: Path) -> None:
    """Remove the note of a pod that is cleaned up."""
    (folder / _FILE).unlink(missing_ok=True)
