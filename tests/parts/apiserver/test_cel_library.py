"""What the library of rules brings into the server's process."""

import subprocess
import sys

LOOK = """
import sys
from rayfleet.local.apiserver.schema import cel_library
print(sorted({"cel.cli", "typer", "rich", "prompt_toolkit"} & set(sys.modules)))
from cel import cli
print(cli.__file__.rpartition("/")[2])
"""


def test_the_library_comes_without_its_command_line_until_that_is_asked_for() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.splitlines() == ["[]", "cli.py"]
