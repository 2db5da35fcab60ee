"""example keeps what an engine plugin promises: the checks come with the suite, and say what is wrong."""

import rayfleet_example.plugin
from rayfleet.model.serving import Serving
from rayfleet.testing.suites.engine import EngineSuite


class TestExample(EngineSuite):
    """What the suite has to know; an attribute that is not here is as TestedEngine has it."""

    plugin = rayfleet_example.plugin
    name = "example"
    program = "example-server"  # the program that is the engine
    arguments = ("--threads", "2")  # some of spec.serving.args that it takes
    drain_flag = None  # its flag for the seconds that a request may take at the end
    node_counts = (1,)

    def serving(self, nodes: int) -> Serving:
        """Return what the engine can do."""
        return Serving(engine="example", model="org/name", served_model_name="name", nodes=nodes)
