"""Images as files, without a container tool: OCI's image layout in a tar, with plain layers.

Whatever is put into an archive twice lies there once, so images that share a base cost it once. Source: OCI image
specification 1.1 (image layout, manifest, config); the names are where containerd's import looks for them.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from rayfleet.model.json import Json

_BLOCK = 1 << 20
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image: its name with a tag, its layers' tar files (lowest first), and how a container of it starts.

    ``user`` is numeric, so that a kubelet can see that it is not root.
    """

    name: str
    layers: tuple[Path, ...]
    user: str
    entrypoint: tuple[str, ...] = ()
    working_folder: str = "/"
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def write_archive(target: Path, images: Sequence[Image], *, architecture: str) -> None:
    """Write ``images`` into one OCI archive; ``target`` appears when it is whole.

    ``architecture`` is Go's name (``amd64``).
    """
    partial = target.with_name(f".{target.name}.partial")
    with tarfile.open(partial, "w") as archive:
        blobs = _Blobs(archive)
        manifests = [_put_image(blobs, image, architecture) for image in images]
        blobs.put("oci-layout", _encoded({"imageLayoutVersion": "1.0.0"}))
        blobs.put("index.json", _encoded({"schemaVersion": 2, "manifests": manifests}))
    partial.rename(target)


def digest_of(path: Path) -> str:
    """Return a file's digest as OCI writes it: ``sha256:…``."""
    content = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            content.update(block)
    return f"sha256:{content.hexdigest()}"


class _Blobs:
    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._held: set[str] = set()

    def put(self, name: str, data: bytes) -> None:
        if name not in self._held:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            self._archive.addfile(entry, io.BytesIO(data))
            self._held.add(name)

    def put_blob(self, data: bytes) -> Json:
        digest = hashlib.sha256(data).hexdigest()
        self.put(f"blobs/sha256/{digest}", data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    def put_file(self, path: Path) -> Json:
        digest = digest_of(path)
        name = f"blobs/{digest.replace(':', '/')}"
        if name not in self._held:
            self._archive.add(path, name, filter=_plain)
            self._held.add(name)
        return {"digest": digest, "size": path.stat().st_size}


def _put_image(blobs: _Blobs, image: Image, architecture: str) -> Json:
    layers = [{"mediaType": _LAYER, **blobs.put_file(layer)} for layer in image.layers]
    config: Json = {
        "architecture": architecture,
        "os": "linux",
        "config": {
            "User": image.user,
            "Env": [f"{name}={value}" for name, value in sorted(image.environment.items())],
            "WorkingDir": image.working_folder,
            **({"Entrypoint": list(image.entrypoint)} if image.entrypoint else {}),
        },
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
    }
    manifest: Json = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": {"mediaType": _CONFIG, **blobs.put_blob(_encoded(config))},
        "layers": layers,
    }
    annotations = {
        "io.containerd.image.name": image.name,
        "org.opencontainers.image.ref.name": image.name.rpartition(":")[2],
    }
    return {"mediaType": _MANIFEST, **blobs.put_blob(_encoded(manifest)), "annotations": annotations}


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    entry.mode = 0o644
    return entry


def _encoded(value: Json) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
