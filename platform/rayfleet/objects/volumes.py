"""Facts of volumes: what a pod's hold, where its containers want them, where an end is explained. Pure.

Source: Kubernetes 1.36, ``Volume``, ``VolumeMount``, ``Container.terminationMessagePath``.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.parts import mapping, mappings, part

DEFAULT_MODE = 0o644
DEFAULT_MESSAGE_PATH = "/dev/termination-log"
_NAMES = {"configMap": "name", "secret": "secretName"}  # where a volume of its own names what it shows


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One file of a projection: a key of what is shown, or a field of the pod; ``mode`` None: the volume's."""

    path: str
    key: str = ""
    field_path: str = ""
    mode: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """What a volume shows as files: a ``configMap``, a ``secret``, fields (``downwardAPI``), or another kind.

    Without ``items`` every key is a file.
    """

    kind: str
    name: str
    is_optional: bool
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSpec:
    """A volume; ``kind`` is its source's field, empty for none."""

    name: str
    kind: str
    mode: int = DEFAULT_MODE
    projections: tuple[Projection, ...] = ()
    host_path: str = ""
    host_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MountSpec:
    """Where a container has a volume, or what lies at ``sub_path`` in it."""

    volume: str
    path: str
    sub_path: str
    has_expression: bool
    is_read_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePlace:
    """Where a container explains its end, and whether the end of its log explains a failure that it does not."""

    path: str
    falls_back_to_log: bool


def volumes_of(pod: ReadOnlyJson) -> Mapping[str, VolumeSpec]:
    """Return a pod's volumes by their names."""
    volumes = (_volume(raw) for raw in mappings(part(pod, "spec").get("volumes")))
    return {each.name: each for each in volumes}


def mounts_of(container: ReadOnlyJson) -> tuple[MountSpec, ...]:
    """Return a container's mounts, those nearest the root first."""
    mounts = [
        MountSpec(
            volume=str(raw.get("name") or ""),
            path=str(raw.get("mountPath") or ""),
            sub_path=str(raw.get("subPath") or ""),
            has_expression=bool(raw.get("subPathExpr")),
            is_read_only=bool(raw.get("readOnly")),
        )
        for raw in mappings(container.get("volumeMounts"))
    ]
    return tuple(sorted(mounts, key=lambda each: each.path.rstrip("/").count("/")))


def message_place(container: ReadOnlyJson) -> MessagePlace:
    """Return where a container explains its end."""
    return MessagePlace(
        path=str(container.get("terminationMessagePath") or DEFAULT_MESSAGE_PATH),
        falls_back_to_log=container.get("terminationMessagePolicy") == "FallbackToLogsOnError",
    )


def secret_content(secret: ReadOnlyJson) -> Mapping[str, bytes]:
    """Return what a Secret holds, by key; what is no base64 is left out."""
    return dict(_decoded(mapping(secret.get("data"))))


def config_map_content(config_map: ReadOnlyJson) -> Mapping[str, bytes]:
    """Return what a ConfigMap holds, by key, texts and bytes."""
    texts = {key: str(value).encode() for key, value in mapping(config_map.get("data")).items()}
    return texts | dict(_decoded(mapping(config_map.get("binaryData"))))


def _volume(raw: Json) -> VolumeSpec:
    kind = next((key for key in raw if key != "name"), "")
    source = mapping(raw.get(kind))
    match kind:
        case "configMap" | "secret":
            projections: tuple[Projection, ...] = (_projection(kind, source, _NAMES[kind]),)
        case "downwardAPI":
            projections = (_projection(kind, source, ""),)
        case "projected":
            projections = tuple(
                _projection(each, mapping(entry.get(each)), "name")
                for entry in mappings(source.get("sources"))
                for each in entry
            )
        case _:
            projections = ()
    mode = source.get("defaultMode")
    return VolumeSpec(
        name=str(raw.get("name") or ""),
        kind=kind,
        mode=mode if isinstance(mode, int) else DEFAULT_MODE,
        projections=projections,
        host_path=str(source.get("path") or ""),
        host_type=str(source.get("type") or ""),
    )


def _projection(kind: str, source: Json, name_field: str) -> Projection:
    items = (_item(raw) for raw in mappings(source.get("items")))
    return Projection(
        kind=kind,
        name=str(source.get(name_field) or ""),
        is_optional=bool(source.get("optional")),
        items=tuple(items),
    )


def _item(raw: Json) -> Item:
    mode = raw.get("mode")
    return Item(
        path=str(raw.get("path") or ""),
        key=str(raw.get("key") or ""),
        field_path=str(part(raw, "fieldRef").get("fieldPath") or ""),
        mode=mode if isinstance(mode, int) else None,
    )


def _decoded(data: Json) -> Iterator[tuple[str, bytes]]:
    for key, value in data.items():
        try:
            yield key, base64.b64decode(str(value), validate=True)
        except binascii.Error:
            continue
