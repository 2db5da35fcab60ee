"""What ``rayfleet plan`` reads before it says what the controller would do."""

from rayfleet.cli.plan import READ, engine_line
from rayfleet.model.resources import FLEETS
from rayfleet.model.serving import Serving
from rayfleet.planning.fleet.plan import WRITES
from rayfleet_vllm.engine import Vllm


def test_all_is_read_that_the_controllers_plan_may_write() -> None:
    """What is there and was not read would be told as what is to be created: a budget was, at each plan."""
    assert {permission.resource for permission in WRITES} - {FLEETS} <= set(READ)


def test_a_plan_tells_how_the_engine_spans_its_nodes_and_why() -> None:
    serving = Serving(engine="vllm", model="org/m", served_model_name="m", image="vllm/vllm-openai:v0.32.0")
    reason = "vllm/vllm-openai:v0.32.0 ships no Ray (since v0.18)"
    assert engine_line(Vllm(), serving) == f"engine        vllm by mp: {reason}"
