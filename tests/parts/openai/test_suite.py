"""A server by command keeps what an engine plugin promises."""

import rayfleet_openai.plugin
from rayfleet.model.serving import Serving
from rayfleet.testing.launching import POD_IP
from rayfleet.testing.suites.engine import EngineSuite

COMMAND = rayfleet_openai.plugin.rayfleet_sample_args


class TestOpenAi(EngineSuite):
    plugin = rayfleet_openai.plugin
    name = "openai"
    program = "my-server"
    arguments = (*COMMAND, "--note", "it's {here} $HOME", '{"a": 1}')
    drain_flag = None
    node_counts = (1,)
    sets_flags = False  # the arguments are the whole command

    def serving(self, nodes: int) -> Serving:
        return Serving(
            engine="openai",
            model="org/name",
            served_model_name="name",
            nodes=nodes,
            image="registry.example/my-server:1",
            arguments=COMMAND,
        )

    def reaching(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        filled = {"{host}": POD_IP, "{port}": "8000", "{model}": "org/name", "{name}": "name"}
        words = list(arguments[1:])
        for placeholder, value in filled.items():
            words = [word.replace(placeholder, value) for word in words]
        return tuple(words)
