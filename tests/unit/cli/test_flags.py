"""What messages and helps name exists: every flag, every command, every way out."""

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from rayfleet.cli.main import rayfleet_group

ROOT = Path(__file__).parents[3]
_COMMAND = re.compile(r"rayfleet ((?:[a-z]+ ?)+)")
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
# Flags of other programs, which messages name together with the program.
_OTHERS = {
    "kubectl": {"--server-side", "--validate", "--overwrite", "--previous"},
    "rayfleet-gateway": {"--admin-port"},
}


def commands(
    group: click.Group = rayfleet_group, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield each command with its words, groups too."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None, name
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


COMMANDS = dict(commands())
RUNNABLE = {words: command for words, command in COMMANDS.items() if not isinstance(command, click.Group)}


def flags(command: click.Command) -> set[str]:
    return {flag for each in command.params for flag in (*each.opts, *each.secondary_opts)} | {"--help", "-h"}


def texts() -> Iterator[tuple[str, str]]:
    """Yield each text of the command line and of what it runs in its own process, with its place; f-strings as one."""
    for path in sorted((ROOT / "platform" / "rayfleet").glob("**/*.py")):
        place = path.relative_to(ROOT).as_posix()
        if "/testing/" in place or "/node/" in place or "/apiserver/" in place:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "way_out":
                yield place, "".join(_pieces(node.value))
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("Error", "WrongUse", "Problem")):
                yield place, " ".join("".join(_pieces(each)) for each in node.args)


def _pieces(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value


@cache
def messages() -> list[tuple[str, str]]:
    return sorted({(place, text) for place, text in texts() if text.strip()})


def test_there_are_messages_to_look_at() -> None:
    assert len(messages()) > 100
    assert any("--kubeconfig" in text for _, text in messages())


def test_every_flag_that_a_message_names_exists() -> None:
    known = set().union(*map(flags, COMMANDS.values())) | set().union(*_OTHERS.values())
    known |= {"--state", "--port", "--listen"}  # of the processes that `rayfleet up` starts
    unknown = {(place, flag) for place, text in messages() for flag in _FLAG.findall(text) if flag not in known}
    assert not unknown


@pytest.mark.parametrize("words", RUNNABLE, ids=" ".join)
def test_every_example_of_a_help_would_be_taken(words: tuple[str, ...]) -> None:
    """Each command's help has an example that names it, and whose flags are its own."""
    examples = [
        line.strip() for line in (RUNNABLE[words].help or "").splitlines() if f"rayfleet {' '.join(words)}" in line
    ]
    assert examples, f"rayfleet {' '.join(words)} --help has no example"
    for example in examples:
        asked = {
            flag
            for flag in shlex.split(example.partition("   ")[0].partition(" | ")[0])
            if flag.startswith("-") and flag != "-"
        }
        asked = {flag.partition("=")[0] for flag in asked if not flag.startswith("-(")}
        assert asked <= flags(RUNNABLE[words]), example


def test_every_command_that_a_message_names_exists() -> None:
    known = {" ".join(words) for words in COMMANDS}
    for place, text in messages():
        for quoted in re.findall(r"`rayfleet ([^`]*)`", text):
            words = [word for word in quoted.split() if re.fullmatch("[a-z]+", word)]
            assert any(" ".join(words[:count]) in known for count in (1, 2)), f"{place}: {quoted}"


@pytest.mark.parametrize("words", RUNNABLE, ids=" ".join)
def test_every_flag_has_a_help(words: tuple[str, ...]) -> None:
    options = [each for each in RUNNABLE[words].params if isinstance(each, click.Option)]
    assert [each.name for each in options if not each.help] == []
