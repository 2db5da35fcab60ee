"""The simple commands of a container's shell script, and what vLLM's reader makes of them."""

import pytest

from rayfleet.model.engine import EngineCommand, EngineProbe
from rayfleet.model.ports import ENGINE_PORT
from rayfleet.objects.shell_commands import shell_script, simple_commands
from rayfleet_vllm.metrics import METRICS, TRAFFIC
from rayfleet_vllm.reading import VllmReader


def vllm(port: int = ENGINE_PORT, **counts: int) -> EngineCommand:
    """Return what is read of a command of vLLM for the model ``m`` that says no more than these."""
    probe, key = EngineProbe(port=port, traffic=TRAFFIC), "VLLM_API_KEY"
    return EngineCommand(engine="vllm", model="m", port=port, probe=probe, metrics=METRICS, key_variable=key, **counts)


def commands(script: str) -> list[list[str]]:
    return [list(words) for words in simple_commands({"command": ["/bin/bash", "-c"], "args": [script]})]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("a b", [["a", "b"]]),
        ("a && b; c || d | e &\nf", [["a"], ["b"], ["c"], ["d"], ["e"], ["f"]]),
        ("a \\\n  --b \\\n  c", [["a", "--b", "c"]]),
        ("X=1 Y= exec a", [["a"]]),
        ("until a; do b; done", [["a"], ["b"], ["done"]]),
        ("a 'b; c' \"d && e\"", [["a", "b; c", "d && e"]]),
        ("# a; b\nc # d && e\nf", [["c"], ["f"]]),
        ("a#b", [["a#b"]]),
        ("(a; b)", [["a"], ["b"]]),
        ("a; b 'c", [["a"], ["b"]]),
        ("", []),
    ],
)
def test_a_script_is_split_into_its_commands(script: str, expected: list[list[str]]) -> None:
    assert commands(script) == expected


def test_a_container_without_a_shell_is_one_command() -> None:
    assert list(simple_commands({"command": ["vllm", "serve"], "args": ["m"]})) == [["vllm", "serve", "m"]]


@pytest.mark.parametrize("words", [["bash", "-c", "x"], ["/bin/bash", "-lc", "--", "x"], ["sh", "-e", "-c", "x"]])
def test_a_shell_is_known_by_its_name_and_flag(words: list[str]) -> None:
    assert shell_script(words) == "x"


@pytest.mark.parametrize("words", [[], ["bash", "x.sh"], ["python", "-c", "x"]])
def test_what_is_no_shell_has_no_script(words: list[str]) -> None:
    assert shell_script(words) is None


@pytest.mark.parametrize(
    "words",
    [
        "vllm serve m -tp 2 --pipeline-parallel-size=3 --data_parallel_size 4 --port 9",
        "/usr/bin/vllm serve m -tp 8 -tp 2 -pp 3 -dp 4 --port=9",
        "python3 -m vllm.entrypoints.openai.api_server --model m --tensor-parallel-size 2 -pp 3 -dp 4 --port 9",
    ],
)
def test_vllms_flags_are_read_in_each_of_their_forms(words: str) -> None:
    expected = vllm(9, tensor=2, pipeline=3, data=4)
    assert VllmReader().read(words.split()) == expected
    assert expected.ranks == 24


@pytest.mark.parametrize("words", ["vllm bench", "ray start --head", "python3 -m http.server", "echo vllm serve"])
def test_another_command_is_none_of_vllms(words: str) -> None:
    assert VllmReader().read(words.split()) is None


def test_a_number_that_the_text_does_not_hold_counts_as_not_said() -> None:
    assert VllmReader().read(["vllm", "serve", "m", "-tp", "$GPUS", "-pp"]) == vllm()
