"""What the engine by command says of a command, and how its placeholders are filled."""

from dataclasses import replace

import pytest

from rayfleet.model.serving import Parallelism, Serving
from rayfleet_openai.engine import OpenAi

GOOD = ("server", "--bind", "{host}:{port}", "--model={model}")
SERVING = Serving(engine="openai", model="m", served_model_name="n", image="registry.example/x:1", arguments=GOOD)
BROKEN = (
    ({"arguments": ()}, "spec.serving.args: openai starts the command that args gives, and there is none"),
    ({"arguments": ("--host", "{host}", "{port}")}, ""),
    ({"arguments": ("", "{host}", "{port}")}, 'spec.serving.args[0]: "" is no program'),
    ({"arguments": ("A=b", "{host}", "{port}")}, 'spec.serving.args[0]: "A=b" is no program'),
    ({"arguments": ("{model}", "{host}", "{port}")}, 'spec.serving.args[0]: "{model}" is no program'),
    ({"arguments": ("/bin/bash", "-c", "{host} {port}")}, 'spec.serving.args[0]: "/bin/bash" is a shell'),
    ({"arguments": ("server", "{port}")}, "spec.serving.args: {host} is in no argument"),
    ({"arguments": ("server", "{host}")}, "spec.serving.args: {port} is in no argument"),
    ({"arguments": (*GOOD, "--also=0.0.0.0")}, "spec.serving.args[4]: --also=0.0.0.0 listens on every address"),
    ({"image": ""}, "spec.serving.image: openai knows no image of its own"),
    ({"nodes": 2}, "spec.serving.nodes: openai starts one server on one node, not on 2"),
    ({"parallelism": Parallelism(tensor=2)}, "spec.serving.parallelism.tensor: openai does not know"),
)


def script(*arguments: str, model: str = "m") -> str:
    serving = replace(SERVING, arguments=arguments, model=model)
    return OpenAi().launch_plan(serving).head.script.partition("serve() {\n")[2].partition("\n}")[0]


@pytest.mark.parametrize(("changes", "words"), BROKEN)
def test_what_cannot_work_is_said_at_its_field(changes: dict[str, object], words: str) -> None:
    problems = OpenAi().problems(replace(SERVING, **changes))  # type: ignore[arg-type] # rows of a table
    assert [str(each)[: len(words)] for each in problems] == ([words] if words else [])


def test_a_good_command_has_no_problem() -> None:
    assert OpenAi().problems(SERVING) == ()


def test_placeholders_are_filled_wherever_they_stand_in_a_word() -> None:
    assert script(*GOOD) == 'exec server --bind "$POD_IP":8000 --model=m'


def test_what_is_no_placeholder_stays_as_it_is() -> None:
    assert script("server", "{host}", "{port}", '{"a": "{b}"}', "$HOME", "") == (
        """exec server "$POD_IP" 8000 '{"a": "{b}"}' '$HOME' ''"""
    )


def test_a_model_that_looks_like_a_placeholder_is_not_filled_again() -> None:
    assert script("server", "{host}", "{model}", "{port}", model="{host}") == """exec server "$POD_IP" '{host}' 8000"""
