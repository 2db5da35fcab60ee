"""The manifests that users already have: decoded, and nothing lost on the way back."""

from pathlib import Path
from typing import Any

import pytest

from rayfleet.manifest.documents import load_documents
from rayfleet.manifest.fleet import decode_fleet
from rayfleet.manifest.replica_set import decode_replica_set
from rayfleet.model.fleet import Percent
from rayfleet.model.json import Json
from rayfleet.testing.manifests import encode_fleet, encode_replica_set

SHARED = Path(__file__).parents[4] / "shared" / "data" / "manifests"
FILES = (
    "seed-fleet.yaml",
    "peer/fleet-two-node.yaml",
    "peer/deepseek-r1-ai-runtime.yaml",
    "peer/orchestration_v1alpha1_rayclusterfleet.yaml",
    "peer/orchestration_v1alpha1_rayclusterreplicaset.yaml",
)


@pytest.mark.parametrize("name", FILES)
def test_a_manifest_of_today_decodes_and_loses_nothing(name: str) -> None:
    raw = _ours(name)
    if raw["kind"] == "RayClusterFleet":
        fleet = decode_fleet(raw)
        encoded = encode_fleet(fleet)
        assert decode_fleet(encoded) == fleet
    else:
        replica_set = decode_replica_set(raw)
        encoded = encode_replica_set(replica_set)
        assert decode_replica_set(encoded) == replica_set
    assert _missing(raw, encoded, "") == []


def test_the_strategy_of_the_seed_is_read_as_percentages() -> None:
    strategy = decode_fleet(_ours("seed-fleet.yaml")).spec.strategy
    assert strategy.max_surge == Percent(value=25)


def test_other_kinds_pass_through_untouched() -> None:
    kinds = [document.raw["kind"] for document in _documents("seed-fleet.yaml")]
    assert kinds == ["RayClusterFleet", "Service", "HTTPRoute"]


def _documents(name: str) -> Any:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"the manifests of today are not here ({name})")
    return load_documents(path.read_text(encoding="utf-8"), name)


def _ours(name: str) -> Json:
    raw: Json = _documents(name)[0].raw
    return raw


def _missing(original: Any, encoded: Any, path: str) -> list[str]:
    """Return the paths of everything in ``original`` that is not the same in ``encoded``."""
    if isinstance(original, dict) and isinstance(encoded, dict):
        return [lost for name, item in original.items() for lost in _missing(item, encoded.get(name), f"{path}.{name}")]
    return [] if original == encoded else [path]
