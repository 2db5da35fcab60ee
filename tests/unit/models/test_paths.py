"""Models that are on this machine already."""

from pathlib import Path

import pytest

from rayfleet.model.errors import EnvironmentProblem
from rayfleet.plugin.contracts import ModelFormat
from rayfleet_models.paths import PathSource


def fetch(path: Path, form: ModelFormat) -> Path:
    return PathSource().fetch(str(path), form, Path("/unused"), lambda _: None)


def test_a_gguf_file_is_taken_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF....")
    assert fetch(tmp_path / "m.gguf", ModelFormat.GGUF) == tmp_path / "m.gguf"


def test_a_folder_stands_for_its_only_gguf_file(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF....")
    assert fetch(tmp_path, ModelFormat.GGUF) == tmp_path / "m.gguf"


def test_a_hugging_face_folder_is_known_by_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert fetch(tmp_path, ModelFormat.HUGGING_FACE) == tmp_path


@pytest.mark.parametrize(
    ("content", "form", "message"),
    [
        ({}, ModelFormat.GGUF, "holds 0 GGUF files"),
        ({"a.gguf": b"GGUF", "b.gguf": b"GGUF"}, ModelFormat.GGUF, "holds 2 GGUF files"),
        ({"a.gguf": b"PK.."}, ModelFormat.GGUF, "a.gguf is not a GGUF file"),
        ({"a.gguf": b"GGUF"}, ModelFormat.HUGGING_FACE, "no config.json"),
    ],
)
def test_what_is_no_model_is_told(tmp_path: Path, content: dict[str, bytes], form: ModelFormat, message: str) -> None:
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(EnvironmentProblem, match=message) as caught:
        fetch(tmp_path, form)
    assert caught.value.way_out


def test_an_absent_path_is_told(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="there is no such file or folder"):
        fetch(tmp_path / "absent", ModelFormat.GGUF)
