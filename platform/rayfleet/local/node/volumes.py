"""What a container's volumes are on this machine: which folders, with which files, and where they are mounted. Pure.

Containers share this machine's files. A volume is a folder of the pod's that is mounted where the container wants it,
in a mount namespace of its own; only root can do that. What means nothing here is passed over: shared memory is the
machine's, Ray's folder is ``--temp-dir``. Source: Kubernetes 1.36, "Volumes"; files are written when a container
starts, and not again when what they show changes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from rayfleet.local.node.environments import CannotConfigure, ConfigLookup, field_value
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.meta import annotations_of, labels_of
from rayfleet.objects.volumes import (
    Item,
    MountSpec,
    Projection,
    VolumeSpec,
    config_map_content,
    mounts_of,
    secret_content,
    volumes_of,
)

_SHARED_MOUNTS = frozenset({"/dev/shm", "/tmp/ray"})  # noqa: S108 - names of mounts, not files of ours
_TOKEN_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path
_HOST_TYPES = frozenset({"", "Directory", "DirectoryOrCreate", "File"})


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeFile:
    """One file of a volume; ``path`` is relative, without a way up."""

    path: str
    content: bytes
    mode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeVolume:
    """A volume as this node has it: a folder with ``files``, an empty one that is kept (None), or one of the host's."""

    name: str
    files: tuple[VolumeFile, ...] | None = None
    host_path: str = ""
    makes_host_path: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeMount:
    """A volume, or what lies at ``sub_path`` in it, at ``target`` of a container."""

    volume: NodeVolume
    target: str
    sub_path: str
    is_read_only: bool

    @property
    def is_at_itself(self) -> bool:
        """Whether it is a path of the host that every process finds there."""
        return self.volume.host_path == self.target and not self.sub_path


def mounted_volumes(
    pod: ReadOnlyJson, container: ReadOnlyJson, lookup: ConfigLookup, address: str
) -> tuple[VolumeMount, ...]:
    """Return what is to be mounted for a container, outer mounts first.

    Raises CannotConfigure for what is not there yet or cannot be.
    """
    volumes = volumes_of(pod)
    return tuple(
        _mount(mount, _node_volume(_volume(mount, volumes), pod, lookup, address))
        for mount in mounts_of(container)
        if mount.path not in _SHARED_MOUNTS and mount.path != _TOKEN_MOUNT
    )


def _volume(mount: MountSpec, volumes: Mapping[str, VolumeSpec]) -> VolumeSpec:
    volume = volumes.get(mount.volume)
    if volume is None:
        raise CannotConfigure(f"volumeMounts: there is no volume {mount.volume!r}")
    return volume


def _mount(mount: MountSpec, volume: NodeVolume) -> VolumeMount:
    if mount.has_expression:
        raise CannotConfigure(f"volume {mount.volume!r}: subPathExpr does not work on this machine; use subPath")
    for name, path in (("subPath", mount.sub_path), ("mountPath", mount.path)):
        if ".." in PurePosixPath(path).parts:
            raise CannotConfigure(f"volume {mount.volume!r}: {name} {path!r} must not contain '..'")
    if mount.sub_path.startswith("/") or not mount.path.startswith("/"):
        raise CannotConfigure(f"volume {mount.volume!r}: subPath is relative, mountPath absolute")
    is_read_only = mount.is_read_only or volume.files is not None
    return VolumeMount(volume=volume, target=mount.path, sub_path=mount.sub_path, is_read_only=is_read_only)


def _node_volume(volume: VolumeSpec, pod: ReadOnlyJson, lookup: ConfigLookup, address: str) -> NodeVolume:
    match volume.kind:
        case "emptyDir":
            return NodeVolume(name=volume.name)
        case "hostPath" if volume.host_type in _HOST_TYPES:
            makes = volume.host_type == "DirectoryOrCreate"
            return NodeVolume(name=volume.name, host_path=volume.host_path, makes_host_path=makes)
        case "configMap" | "secret" | "downwardAPI" | "projected":
            files = [
                each for projection in volume.projections for each in _files(volume, projection, lookup, (pod, address))
            ]
            return NodeVolume(name=volume.name, files=tuple({each.path: each for each in files}.values()))
        case kind:
            what = f"{kind} of type {volume.host_type}" if kind == "hostPath" else kind or "without a source"
            raise CannotConfigure(
                f"volume {volume.name!r}: {what} does not work on this machine; "
                "use emptyDir, configMap, secret, downwardAPI, projected or hostPath"
            )


def _files(
    volume: VolumeSpec, projection: Projection, lookup: ConfigLookup, about: tuple[ReadOnlyJson, str]
) -> Iterator[VolumeFile]:
    match projection.kind:
        case "configMap":
            held = lookup.config_map(projection.name)
            return _shown(volume, projection, None if held is None else config_map_content(held))
        case "secret":
            held = lookup.secret(projection.name)
            return _shown(volume, projection, None if held is None else secret_content(held))
        case "downwardAPI":
            pod, address = about
            return (_file(volume, each, _field(volume, each, pod, address).encode()) for each in projection.items)
        case kind:
            raise CannotConfigure(
                f"volume {volume.name!r}: {kind} does not work on this machine; "
                "project configMap, secret and downwardAPI"
            )


def _shown(volume: VolumeSpec, projection: Projection, content: Mapping[str, bytes] | None) -> Iterator[VolumeFile]:
    what = f"{projection.kind} {projection.name!r}"
    if content is None:
        if projection.is_optional:
            return
        raise CannotConfigure(f"volume {volume.name!r}: there is no {what}")
    items: Sequence[Item] = projection.items or [Item(path=key, key=key) for key in content]
    for item in items:
        if item.key in content:
            yield _file(volume, item, content[item.key])
        elif not projection.is_optional:
            raise CannotConfigure(f"volume {volume.name!r}: {what} has no key {item.key!r}")


def _file(volume: VolumeSpec, item: Item, content: bytes) -> VolumeFile:
    path = PurePosixPath(item.path)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        raise CannotConfigure(f"volume {volume.name!r}: path {item.path!r} is not below the volume")
    mode = volume.mode if item.mode is None else item.mode
    return VolumeFile(path=str(path), content=content, mode=mode & 0o777)


def _field(volume: VolumeSpec, item: Item, pod: ReadOnlyJson, address: str) -> str:
    match item.field_path:
        case "":
            raise CannotConfigure(f"volume {volume.name!r}: only fieldRef works on this machine ({item.path})")
        case "metadata.labels":
            return _lines(labels_of(pod))
        case "metadata.annotations":
            return _lines(annotations_of(pod))
        case path:
            return field_value(pod, path, address)


def _lines(texts: Mapping[str, str]) -> str:
    """Return a map as the downward API writes it into a file."""
    return "\n".join(f'{key}="{_escaped(value)}"' for key, value in sorted(texts.items()))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
