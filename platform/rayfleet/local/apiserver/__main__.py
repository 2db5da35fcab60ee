"""``python -m rayfleet.local.apiserver``: the server as a process."""

import argparse
import asyncio
import logging
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from rayfleet.local.apiserver.server import ServerSettings, running_server
from rayfleet.logs import configure_logging
from rayfleet.model.errors import EnvironmentProblem
from rayfleet.process import exit_code, loop_factory, stop_event

log = logging.getLogger("rayfleet.local.apiserver")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; return the exit code."""
    options = _parser().parse_args(arguments)
    configure_logging()
    settings = ServerSettings(state=options.state, port=options.port, pods_folder=options.pods_folder)
    return exit_code(lambda: _run(settings))


def _run(settings: ServerSettings) -> None:
    """Serve until a signal. Raises EnvironmentProblem for a state folder that cannot be used."""
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_serve(settings))
    except (sqlite3.Error, OSError, ValueError) as error:
        raise EnvironmentProblem(
            f"--state {settings.state}: {error}",
            way_out="Is there space left, and are the files in the folder the server's own?",
        ) from error


async def _serve(settings: ServerSettings) -> None:
    stop = stop_event()
    async with running_server(settings) as running:
        sys.stdout.write(f"listening {running.url}\n")
        sys.stdout.flush()
        log.info("serving %s", running.url)
        await stop.wait()
        log.info("stopping")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m rayfleet.local.apiserver",
        description="A small Kubernetes API server on 127.0.0.1, with its objects in one SQLite file. "
        "It writes a kubeconfig into the state folder and prints one line when it listens; SIGTERM ends it.",
        epilog="example: python -m rayfleet.local.apiserver --state ~/.local/state/rayfleet/default --port 6443, then: "
        "KUBECONFIG=~/.local/state/rayfleet/default/kubeconfig kubectl get namespaces",
    )
    parser.add_argument(
        "--state",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of database, certificates, token and kubeconfig",
    )
    parser.add_argument(
        "--port", type=_port, default=6443, metavar="P", help="port on 127.0.0.1; 0 takes any free one (default 6443)"
    )
    parser.add_argument(
        "--pods-folder",
        type=Path,
        metavar="DIR",
        help="where the node writes the pods' logs; without it there are no logs",
    )
    return parser


def _port(text: str) -> int:
    number = int(text)
    if number not in range(65536):
        raise argparse.ArgumentTypeError(f"{text} is no port (0 to 65535)")
    return number


if __name__ == "__main__":
    sys.exit(main())
