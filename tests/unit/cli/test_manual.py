"""The README names every command that there is, and no other."""

import re
from pathlib import Path

import click

from rayfleet.cli.main import rayfleet_group

README = Path(__file__).parents[3] / "README.md"


def test_the_readme_has_each_command_once() -> None:
    rows = re.findall(r"^\| (`(?:rayfleet )?[^|]+) \|", README.read_text(encoding="utf-8"), re.MULTILINE)
    commands = [word for row in rows for word in re.findall(r"`(?:rayfleet )?([a-z]+)", row)]
    assert sorted(commands) == sorted(rayfleet_group.list_commands(click.Context(rayfleet_group)))
