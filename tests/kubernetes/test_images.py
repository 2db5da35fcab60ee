"""Our images as the node imported them: small, versioned, no compiler, started as a number that is not root."""

import json
import tarfile
from pathlib import PurePosixPath

import pytest

import rayfleet
from rayfleet.model.json import Json
from rayfleet.testing.kubectl import Kubectl
from rayfleet.testing.realkube import default_cache
from rayfleet.testing.realnode.images import CONTROLLER, LLAMACPP, SIDECAR, archive_file

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(5400)]

MAY_ADD_BYTES = {CONTROLLER: 250e6, SIDECAR: 60e6, LLAMACPP: 900e6}
"""Above the base; the engine's has the model too."""
COMPILERS = {"cc", "gcc", "c++", "g++", "clang", "make"}


@pytest.mark.parametrize("name", MAY_ADD_BYTES)
def test_an_image_is_small_and_has_what_pod_security_asks_for(kubectl: Kubectl, name: str) -> None:
    nodes = kubectl.object("get", "nodes")["items"]
    assert any(name in image["names"] for node in nodes for image in node["status"]["images"])
    with tarfile.open(archive_file(default_cache())) as archive:
        manifest = _manifests(archive)[name]
        layers = manifest["layers"]
        assert sum(layer["size"] for layer in layers[1:]) <= MAY_ADD_BYTES[name]
        assert _blob(archive, manifest["config"])["config"]["User"] == "65532:65532"
        assert not COMPILERS & {program for layer in layers for program in _programs(archive, layer)}
    assert name.endswith(f":{rayfleet.__version__}")


def _manifests(archive: tarfile.TarFile) -> dict[str, Json]:
    index = json.loads(_read(archive, "index.json"))
    return {each["annotations"]["io.containerd.image.name"]: _blob(archive, each) for each in index["manifests"]}


def _blob(archive: tarfile.TarFile, descriptor: Json) -> Json:
    blob: Json = json.loads(_read(archive, _name(descriptor)))
    return blob


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def _programs(archive: tarfile.TarFile, layer: Json) -> set[str]:
    """Return the names of a layer's programs."""
    with tarfile.open(fileobj=archive.extractfile(_name(layer))) as content:
        paths = (PurePosixPath(name) for name in content.getnames())
        return {path.name for path in paths if path.parent.name == "bin"}


def _name(descriptor: Json) -> str:
    return f"blobs/{descriptor['digest'].replace(':', '/')}"
