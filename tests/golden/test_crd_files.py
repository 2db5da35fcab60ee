"""The CRD files of ``deploy`` are exactly what the schema makes; ``make golden`` writes them anew."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from rayfleet import deploy
from rayfleet.manifest.crds import all_crds, crd_file_name, crd_yaml, fleet_crds
from rayfleet.model.json import Json, ReadOnlyJson

FOLDER = Path(deploy.__file__).parent / "crds"
REWRITES = os.environ.get("RAYFLEET_GOLDEN") == "rewrite"


@pytest.mark.parametrize("crd", all_crds(), ids=crd_file_name)
def test_a_crd_file_is_what_the_schema_makes(crd: Json) -> None:
    path = FOLDER / crd_file_name(crd)
    if REWRITES:
        path.write_text(crd_yaml(crd), encoding="utf-8")
    assert path.read_text(encoding="utf-8") == crd_yaml(crd)


def test_no_crd_file_is_left_over() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {crd_file_name(crd) for crd in all_crds()}


@pytest.mark.parametrize("crd", fleet_crds(), ids=crd_file_name)
def test_plain_apply_can_note_the_whole_crd_in_its_annotation(crd: ReadOnlyJson) -> None:
    assert len(json.dumps(crd, separators=(",", ":"))) <= 200_000


@pytest.mark.parametrize("crd", fleet_crds(), ids=crd_file_name)
def test_every_field_explains_itself(crd: ReadOnlyJson) -> None:
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert [path for path, part in fields(schema["properties"]["spec"], "spec") if "description" not in part] == []


def fields(schema: ReadOnlyJson, path: str) -> list[tuple[str, Any]]:
    below = [(f"{path}.{name}", part) for name, part in schema.get("properties", {}).items()]
    return [*below, *(found for name, part in below for found in fields(part, name))]
