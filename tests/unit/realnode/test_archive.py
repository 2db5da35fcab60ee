"""OCI archives and layers, written without a container tool."""

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from rayfleet.testing.realnode.archive import Image, write_archive
from rayfleet.testing.realnode.layers import write_layer


def _layer(folder: Path, name: str, text: str) -> Path:
    source = folder / name
    source.write_text(text)
    layer = folder / f"{name}.tar"
    write_layer(layer, {Path("/opt") / name: source})
    return layer


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Two images on one base."""
    base, one, two = (_layer(tmp_path, name, name) for name in ("base", "one", "two"))
    images = [
        Image(name="docker.io/test/one:1", layers=(base, one), user="65532:65532", environment={"B": "2", "A": "1"}),
        Image(name="docker.io/test/two:2.0", layers=(base, two), user="1:1", entrypoint=("/opt/two",)),
    ]
    target = tmp_path / "images.tar"
    write_archive(target, images, architecture="amd64")
    return target


def _read(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as content:
        file = content.extractfile(name)
        assert file is not None
        return file.read()


def _blob(archive: Path, descriptor: dict[str, Any]) -> bytes:
    data = _read(archive, f"blobs/{descriptor['digest'].replace(':', '/')}")
    assert f"sha256:{hashlib.sha256(data).hexdigest()}" == descriptor["digest"]
    assert len(data) == descriptor["size"]
    return data


def _manifests(archive: Path) -> list[dict[str, Any]]:
    index = json.loads(_read(archive, "index.json"))
    return [json.loads(_blob(archive, descriptor)) for descriptor in index["manifests"]]


def test_an_archive_is_an_oci_layout_that_names_its_images(archive: Path) -> None:
    index = json.loads(_read(archive, "index.json"))
    assert json.loads(_read(archive, "oci-layout")) == {"imageLayoutVersion": "1.0.0"}
    assert [each["annotations"] for each in index["manifests"]] == [
        {"io.containerd.image.name": "docker.io/test/one:1", "org.opencontainers.image.ref.name": "1"},
        {"io.containerd.image.name": "docker.io/test/two:2.0", "org.opencontainers.image.ref.name": "2.0"},
    ]


def test_a_config_says_who_runs_what_on_which_layers(archive: Path) -> None:
    one, two = (json.loads(_blob(archive, manifest["config"])) for manifest in _manifests(archive))
    assert one["config"] == {"User": "65532:65532", "Env": ["A=1", "B=2"], "WorkingDir": "/"}
    assert two["config"]["Entrypoint"] == ["/opt/two"]
    assert one["rootfs"]["diff_ids"] == [layer["digest"] for layer in _manifests(archive)[0]["layers"]]
    assert (one["architecture"], one["os"]) == ("amd64", "linux")


def test_what_images_share_lies_in_the_archive_once(archive: Path) -> None:
    layers = [layer for manifest in _manifests(archive) for layer in manifest["layers"]]
    with tarfile.open(archive) as content:
        names = content.getnames()
    assert len(layers) == 4
    assert len({layer["digest"] for layer in layers}) == 3
    assert len(names) == len(set(names)) == 3 + 2 + 2 + 2  # layers, configs, manifests, the layout's two files
    for layer in layers:
        _blob(archive, layer)


def test_a_layer_is_the_same_whoever_wrote_it_and_when(tmp_path: Path) -> None:
    digests = []
    for name, mode in (("early", 0o700), ("late", 0o777)):
        source = tmp_path / name
        source.mkdir()
        (source / "run").write_text("x")
        (source / "run").chmod(mode)
        (source / "link").symlink_to("/usr/bin/python3")
        write_layer(tmp_path / f"{name}.tar", {Path("/opt/venv"): source})
        digests.append(hashlib.sha256((tmp_path / f"{name}.tar").read_bytes()).hexdigest())
    assert digests[0] == digests[1]
    with tarfile.open(tmp_path / "late.tar") as layer:
        entries = {entry.name: (entry.uid, entry.mtime, entry.mode, entry.linkname) for entry in layer}
    assert entries["opt/venv/run"] == (0, 0, 0o755, "")
    assert entries["opt/venv/link"][3] == "/usr/bin/python3"
