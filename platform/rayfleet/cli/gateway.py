"""``gateway``: the gateway's own command line under this one's name.

The core does not know the gateway: it is looked up by the console script that it brings, and gets every argument as it
came.
"""

import sys
from importlib.metadata import entry_points

import click

from rayfleet.model.errors import EnvironmentProblem

_SCRIPT = "rayfleet-gateway"


@click.command(
    "gateway",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    add_help_option=False,
    short_help="Run the gateway: `rayfleet gateway --help` tells its flags.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def gateway_command(arguments: tuple[str, ...]) -> None:
    """Run the gateway until SIGTERM, on an API server or on files.

    \b
    rayfleet gateway --help                        its flags, which are those of rayfleet-gateway
    """
    script = next(iter(entry_points(group="console_scripts", name=_SCRIPT)), None)
    if script is None:
        raise EnvironmentProblem(f"{_SCRIPT} is not installed", way_out="Install rayfleet with its gateway.")
    sys.exit(script.load()(list(arguments)))
