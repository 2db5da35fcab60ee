"""Makes what is mounted for a container: folders with the files of its volumes. Edge: files.

A pod's volumes lie in ``.volumes`` of its folder and go when its processes have ended.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from rayfleet.local.node.environments import CannotConfigure
from rayfleet.local.node.mounts import BindMount
from rayfleet.local.node.volumes import NodeVolume, VolumeMount

FOLDER = ".volumes"  # no container has such a name


def bind_mounts(mounts: Sequence[VolumeMount], pod_folder: Path, group: int | None) -> tuple[BindMount, ...]:
    """Make the sources and return the mounts; ``group`` (the pod's fsGroup) may read and write what is not the host's.

    What is at itself needs none, unless it is not to be written. Blocking. Raises CannotConfigure for a path of the
    host, or in a volume, that is not there.
    """
    sources = [(mount, _source(mount, pod_folder, group)) for mount in mounts]
    return tuple(
        BindMount(source=source, target=Path(mount.target), is_read_only=mount.is_read_only)
        for mount, source in sources
        if mount.is_read_only or not mount.is_at_itself
    )


def remove_volumes(pod_folder: Path) -> None:
    """Remove the volumes of a pod whose processes have ended. Blocking."""
    shutil.rmtree(pod_folder / FOLDER, ignore_errors=True)


def _source(mount: VolumeMount, pod_folder: Path, group: int | None) -> Path:
    volume = mount.volume
    folder = _host_folder(volume) if volume.host_path else _own_folder(volume, pod_folder / FOLDER, group)
    if not mount.sub_path:
        return folder
    source = folder / mount.sub_path
    if not source.exists() and volume.files is None:
        source.mkdir(parents=True)
    if not source.exists():
        raise CannotConfigure(f"volume {volume.name!r}: there is no {mount.sub_path!r} in it")
    return source


def _host_folder(volume: NodeVolume) -> Path:
    path = Path(volume.host_path)
    if volume.makes_host_path:
        path.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        raise CannotConfigure(f"volume {volume.name!r}: hostPath {volume.host_path!r} does not exist on this machine")
    return path


def _own_folder(volume: NodeVolume, parent: Path, group: int | None) -> Path:
    folder = parent / volume.name
    if volume.files is None:
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o777 if group is None else 0o2777)
        _give(folder, group)
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for file in volume.files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_bytes(file.content)
        fresh.chmod(file.mode if group is None else file.mode | 0o440)
        _give(fresh, group)
        fresh.replace(path)
    return folder


def _give(path: Path, group: int | None) -> None:
    if group is not None:
        os.chown(path, -1, group)
