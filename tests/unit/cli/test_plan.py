"""What ``rayfleet plan`` reads before it says what the controller would do."""

from rayfleet.cli.plan import READ
from rayfleet.model.resources import FLEETS
from rayfleet.planning.fleet.plan import WRITES


def test_all_is_read_that_the_controllers_plan_may_write() -> None:
    """What is there and was not read would be told as what is to be created: a budget was, at each plan."""
    assert {permission.resource for permission in WRITES} - {FLEETS} <= set(READ)
