"""What ``kubectl apply`` changes: the manifest, less what left it since it was applied last. Pure.

Three objects: the *last* manifest (kept in an annotation, kubectl's own, so both commands may take turns), the
manifest as it is *now*, and the *live* object. Fields of the manifest are set, fields that only the last one had are
removed, all others (defaults, other writers') stay. A list changes as a whole, but a core kind's list whose entries
have a key is merged entry by entry. The answer is one JSON merge patch, which every API server takes for every kind;
kubectl sends a strategic merge patch for core kinds, with the same effect. Source: kubectl v1.36,
``pkg/cmd/apply/patcher.go``; apimachinery ``jsonmergepatch``; the patch strategies in the core types.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import PODS, SERVICE_ACCOUNTS, SERVICES, ResourceType
from rayfleet.objects.labels import LAST_APPLIED_ANNOTATION
from rayfleet.objects.meta import annotation, annotations_of
from rayfleet.objects.parts import mapping, mappings

MOST_ANNOTATION_BYTES = 256 * 1024
"""What Kubernetes allows all annotations of an object together."""

Path = tuple[str, ...]
ListKeys = Mapping[Path, Mapping[str, Any]]
"""Of a list at a path ("*" for the entries of one above): the fields that tell its entries apart, with defaults."""

_CONTAINER_LISTS: ListKeys = {
    ("env",): {"name": None},
    ("ports",): {"containerPort": None, "protocol": "TCP"},
    ("volumeMounts",): {"mountPath": None},
    ("volumeDevices",): {"devicePath": None},
}
LIST_KEYS: Mapping[ResourceType, ListKeys] = {
    SERVICES: {("spec", "ports"): {"port": None, "protocol": "TCP"}},
    SERVICE_ACCOUNTS: {("secrets",): {"name": None}, ("imagePullSecrets",): {"name": None}},
    PODS: {
        ("spec", "volumes"): {"name": None},
        ("spec", "imagePullSecrets"): {"name": None},
        ("spec", "hostAliases"): {"ip": None},
        **{("spec", kind): {"name": None} for kind in ("containers", "initContainers", "ephemeralContainers")},
        **{
            ("spec", kind, "*", *path): keys
            for kind in ("containers", "initContainers")
            for path, keys in _CONTAINER_LISTS.items()
        },
    },
}


def remembering(manifest: ReadOnlyJson) -> Json:
    """Return the manifest with itself in the annotation, as kubectl writes it; without, when that would be too long."""
    annotations = {name: text for name, text in annotations_of(manifest).items() if name != LAST_APPLIED_ANNOTATION}
    meta = {**mapping(manifest.get("metadata")), "annotations": annotations}
    text = _go_json({**manifest, "metadata": meta}) + "\n"
    size = len(text.encode()) + sum(len(f"{name}{value}".encode()) for name, value in annotations.items())
    if size > MOST_ANNOTATION_BYTES - len(LAST_APPLIED_ANNOTATION):
        return {**manifest, "metadata": meta}
    return {**manifest, "metadata": {**meta, "annotations": {**annotations, LAST_APPLIED_ANNOTATION: text}}}


def last_applied(live: ReadOnlyJson) -> Json:
    """Return the last manifest that was applied to the object, empty when nobody has or it cannot be read."""
    try:
        return mapping(json.loads(annotation(live, LAST_APPLIED_ANNOTATION) or "{}"))
    except ValueError:
        return {}


def three_way_patch(last: ReadOnlyJson, now: ReadOnlyJson, live: ReadOnlyJson, keys: ListKeys) -> Json:
    """Return the merge patch for ``live``, empty when nothing changes; null in a manifest is as not said."""
    return _patch(last, now, live, keys, ())


def patched(value: ReadOnlyJson, patch: ReadOnlyJson) -> Json:
    """Return ``value`` after a merge patch (RFC 7386); parts that do not change are shared with it."""
    result = dict(value)
    for name, change in patch.items():
        if change is None:
            result.pop(name, None)
        elif isinstance(change, dict):
            result[name] = patched(mapping(result.get(name)), change)
        else:
            result[name] = change
    return result


def _patch(last: ReadOnlyJson, now: ReadOnlyJson, live: ReadOnlyJson, keys: ListKeys, at: Path) -> Json:
    gone = [name for name in last if now.get(name) is None and live.get(name) is not None]
    patch: Json = dict.fromkeys(gone)
    for name, value in now.items():
        present = live.get(name)
        if value is None:
            continue
        if isinstance(value, dict):
            below = _patch(mapping(last.get(name)), value, mapping(present), keys, (*at, name))
            if below or not isinstance(present, dict):
                patch[name] = below
            continue
        if (*at, name) in keys and isinstance(value, list):
            value = _merged_list(last.get(name), value, present, keys, (*at, name))  # noqa: PLW2901 - the desired value
        if value != present:
            patch[name] = value
    return patch


def _merged_list(last: Any, now: Sequence[Any], live: Any, keys: ListKeys, at: Path) -> list[Any]:
    """Return the entries of ``now``, each merged with its live one, then live ones that the manifest never had."""
    fields = keys[at]
    before = {_key(entry, fields): entry for entry in mappings(last)}
    present = {_key(entry, fields): entry for entry in mappings(live)}
    merged: list[Any] = []
    for entry in now:
        key = _key(mapping(entry), fields)
        current = present.pop(key, None)
        if current is None or not isinstance(entry, dict):
            merged.append(entry)
        else:
            merged.append(patched(current, _patch(before.get(key, {}), entry, current, keys, (*at, "*"))))
    return merged + [entry for key, entry in present.items() if key not in before]


def _key(entry: ReadOnlyJson, fields: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(entry.get(name, default) for name, default in fields.items())


def _go_json(value: ReadOnlyJson) -> str:
    """Return the text as Go's encoder writes it, so that kubectl finds its own text and changes nothing."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text
