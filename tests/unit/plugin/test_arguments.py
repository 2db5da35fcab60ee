"""What a manifest may not hand to an engine's command."""

import pytest

from rayfleet.plugin.arguments import drain_problems, flag_problems

REFUSED = {"--port": "is set elsewhere", "-tp": "is not for you"}


@pytest.mark.parametrize(
    ("arguments", "problems"),
    [
        ((), []),
        (("--other", "port", "-t", "p"), []),
        (("--port", "9"), ["spec.serving.args[0]: --port is set elsewhere"]),
        (("-x", "--port=9"), ["spec.serving.args[1]: --port is set elsewhere"]),
        (
            ("-tp", "2", "--port"),
            ["spec.serving.args[0]: -tp is not for you", "spec.serving.args[2]: --port is set elsewhere"],
        ),
        (("-h",), ["spec.serving.args[0]: -h would end the engine at once"]),
        (("--help",), ["spec.serving.args[0]: --help would end the engine at once"]),
    ],
)
def test_a_refused_flag_is_named_at_its_place(arguments: tuple[str, ...], problems: list[str]) -> None:
    assert [str(problem) for problem in flag_problems(arguments, REFUSED)] == problems


def test_an_underline_is_a_dash_in_long_flags() -> None:
    refused = {"--tensor-parallel-size": "is set elsewhere", "-a_b": "is short"}
    (problem,) = flag_problems(("--tensor_parallel_size=2", "-a-b"), refused)
    assert str(problem) == "spec.serving.args[0]: --tensor-parallel-size is set elsewhere"


@pytest.mark.parametrize(
    ("seconds", "messages"),
    [(0, []), (40, []), (40.5, ["--drain 40.5 is more than 40"]), (300, ["--drain 300 is more"])],
)
def test_a_drain_is_shorter_than_the_life_of_its_pod(seconds: float, messages: list[str]) -> None:
    problems = list(drain_problems("--drain", seconds))
    assert [problem.path for problem in problems] == ["spec.serving.args" for _ in messages]
    assert all(message in problem.message for message, problem in zip(messages, problems, strict=True))
