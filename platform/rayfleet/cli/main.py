"""``rayfleet``: the command line.

Commands are imported only when they run or when their own help is asked for, so that ``rayfleet --help`` stays under
0.2 s. Results go to stdout, talk to stderr. Exit codes: 0 done, 1 it failed (the message says what to do), 2 the
command line is wrong.
"""

import importlib
from dataclasses import dataclass
from typing import Any

import click

import rayfleet


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    module: str
    help: str


_COMMANDS = {
    "up": _Entry(module="up", help="Serve fleets on this machine: API server, controllers, Ray, engine, gateway."),
    "down": _Entry(module="down", help="Shut the cluster of this machine down; its objects stay for the next `up`."),
    "status": _Entry(module="status", help="Show processes, fleets, replicas and what keeps them from being ready."),
    "apply": _Entry(module="objects", help="Create or change the objects of manifest files."),
    "lint": _Entry(module="lint", help="Say what in manifest files will not work, or hardly as it is meant."),
    "plan": _Entry(module="plan", help="Say what applying manifest files would do, down to the accelerators."),
    "get": _Entry(module="objects", help="List fleets, replica sets, Ray clusters, pods, services, routes or events."),
    "describe": _Entry(module="describe", help="Show one object with its conditions and events."),
    "delete": _Entry(module="objects", help="Delete objects by name or by manifest files."),
    "scale": _Entry(module="objects", help="Set the number of replicas (Ray clusters) of a fleet."),
    "rollout": _Entry(module="rollout", help="Watch rollouts; history, undo, pause, resume, restart."),
    "wait": _Entry(module="wait", help="Wait until objects meet a condition, are there, or are gone."),
    "events": _Entry(module="events", help="List events of a fleet and all that it owns; -w follows them."),
    "logs": _Entry(module="logs", help="Print the logs of a fleet's pods; -f follows them."),
    "endpoint": _Entry(module="endpoint", help="Print the URL that OpenAI clients use, with examples."),
    "explain": _Entry(module="explain", help="Say why a request would go where, as the gateway sees it now."),
    "model": _Entry(module="model", help="Bring a model to this machine."),
    "plugins": _Entry(module="plugins", help="List, describe, make and check plugins."),
    "install": _Entry(module="install", help="Print what belongs on a Kubernetes cluster, for kubectl apply."),
    "completion": _Entry(module="completion", help="Print what makes bash, zsh or fish complete our commands."),
    "controller": _Entry(module="controller", help="Run the fleet controllers against any Kubernetes API server."),
    "gateway": _Entry(module="gateway", help="Run the gateway, on an API server or on files (--config)."),
}


class _LazyGroup(click.Group):
    """A group whose commands are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = _COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module = importlib.import_module(f"rayfleet.cli.{entry.module}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in _COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"{error.message} {_nearest(args[0])}", ctx=ctx) from None


def _nearest(word: str) -> str:
    import difflib

    near = difflib.get_close_matches(word, _COMMANDS, n=1)
    return f"Did you mean `rayfleet {near[0]}`?" if near else "`rayfleet --help` lists the commands."


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="First steps: `rayfleet up` serves a small model on two Ray nodes here; `rayfleet up --help` tells more.",
)
@click.version_option(rayfleet.__version__, prog_name="rayfleet")
def rayfleet_group() -> None:
    """Serve large language models that need many nodes: fleets of Ray clusters, here or on Kubernetes."""


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; the entry point of the console scripts."""
    return rayfleet_group(args=arguments)


if __name__ == "__main__":
    main()
