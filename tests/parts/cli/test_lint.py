"""``rayfleet lint``: what it prints, and what its exit code says."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from rayfleet.cli.main import rayfleet_group
from rayfleet.model.json import Json
from rayfleet.testing.good_fleet import good_fleet

IMAGE = "spec.template.spec.headGroupSpec.template.spec.containers.1.image"
WARNED: Json = {IMAGE: "rayfleet/sidecar"}
REFUSED: Json = {"spec.replica": 1}


def lint(*arguments: str, manifests: Sequence[Json] = ()) -> Result:
    return CliRunner().invoke(rayfleet_group, ["lint", *arguments], input=yaml.safe_dump_all(manifests))


@pytest.mark.parametrize(
    ("fields", "arguments", "code", "counted"),
    [
        ({}, (), 0, "0 errors, 0 warnings in 1 document\n"),
        (WARNED, (), 0, "0 errors, 1 warning in 1 document\n"),
        (WARNED, ("--strict",), 1, "0 errors, 1 warning in 1 document\n"),
        (REFUSED, (), 1, "1 error, 0 warnings in 1 document\n"),
    ],
)
def test_the_exit_code_tells_errors_from_warnings(
    fields: Json, arguments: tuple[str, ...], code: int, counted: str
) -> None:
    shown = lint("-f", "-", *arguments, manifests=[good_fleet(fields)])
    assert (shown.exit_code, shown.stderr) == (code, counted)


def test_a_line_names_file_line_object_field_and_rule(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text("# a comment\n---\n" + yaml.safe_dump(good_fleet(REFUSED), sort_keys=False), encoding="utf-8")
    (line,) = lint("-f", str(tmp_path), "-n", "models").stdout.splitlines()
    number = file.read_text(encoding="utf-8").splitlines().index("  replica: 1") + 1
    start = f"{file}:{number}: error: RayClusterFleet models/qwen, spec.replica: unknown field"
    assert line.startswith(start)
    assert line.endswith("(field)")


def test_findings_come_as_json_too() -> None:
    shown = lint("-f", "-", "-o", "json", manifests=[good_fleet({}), good_fleet({"metadata.name": "b", **WARNED})])
    (finding,) = json.loads(shown.stdout)
    assert {name: finding[name] for name in ("name", "severity", "rule", "line", "file")} == {
        "name": "b",
        "severity": "warning",
        "rule": "latest-image",
        "line": finding["line"],
        "file": "standard input",
    }
    assert finding["path"].endswith("containers[1].image")


def test_what_is_no_manifest_is_an_error_with_its_place() -> None:
    shown = lint("-f", "-", manifests=[{"a": 1}])
    assert shown.exit_code == 1
    assert "line 1: is no Kubernetes manifest" in shown.stderr


def test_a_model_whose_folder_is_here_is_looked_at(tmp_path: Path) -> None:
    """Its heads are in its configuration; what cannot be read is not known."""
    (tmp_path / "config.json").write_text('{"num_attention_heads": 9}', encoding="utf-8")
    asked = {"parallelism": {"tensor": 2}, "resources": {"accelerators": 2}, "image": "vllm/vllm-openai:v0.32.0"}
    fleets: list[Json] = [
        {
            "apiVersion": "orchestration.aibrix.ai/v1alpha1",
            "kind": "RayClusterFleet",
            "metadata": {"name": name},
            "spec": {"serving": {"engine": "vllm", "model": str(model), **asked}},
        }
        for name, model in (("here", tmp_path), ("elsewhere", tmp_path / "not-here"))
    ]
    (line,) = [line for line in lint("-f", "-", manifests=fleets).stdout.splitlines() if "split" in line]
    assert "RayClusterFleet default/here, spec.serving.parallelism: " in line
    assert "tensor 2 does not divide its 9 attention heads (these do: 1, 3, 9) (serving)" in line
