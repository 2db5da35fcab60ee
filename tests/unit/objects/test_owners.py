"""Who controls an object: children are chosen by the UID of their controller."""

import pytest

from rayfleet.model.json import Json
from rayfleet.model.resources import FLEETS
from rayfleet.objects.owners import controller_of, controller_reference, controller_uid, is_controlled_by, owners_of

OWNER = controller_reference(FLEETS, "f", "u1")
OTHER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "u2"}


def test_the_reference_of_a_child_is_read_back_as_its_controller() -> None:
    child: Json = {"metadata": {"ownerReferences": [OTHER, OWNER]}}
    controller = controller_of(child)
    assert controller is not None
    assert (controller.kind, controller.group, controller.name) == ("RayClusterFleet", "orchestration.aibrix.ai", "f")
    assert (controller.uid, controller.is_controller, controller.blocks_deletion) == ("u1", True, True)
    assert [owner.uid for owner in owners_of(child)] == ["u2", "u1"]
    assert is_controlled_by(child, "u1")
    assert not is_controlled_by(child, "u2"), "an owner that does not control has no say"


@pytest.mark.parametrize("references", [None, [], [OTHER], ["nonsense"], {}])
def test_an_object_without_a_controller_has_none(references: object) -> None:
    child: Json = {"metadata": {"ownerReferences": references}}
    assert controller_of(child) is None
    assert controller_uid(child) is None
    assert not is_controlled_by(child, "")
