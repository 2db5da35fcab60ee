"""``python -m rayfleet.local.apiserver``: the server as a process."""

import argparse
import asyncio
import contextlib
import logging
import signal
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from rayfleet.local.apiserver.server import ServerSettings, running_server
from rayfleet.model.errors import RayfleetError

log = logging.getLogger("rayfleet.local.apiserver")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; return the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True
    )
    settings = ServerSettings(state=options.state, port=options.port, pods_folder=options.pods_folder)
    try:
        _run(settings)
    except RayfleetError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except (sqlite3.Error, OSError, ValueError) as error:
        sys.stderr.write(
            f"error: --state {settings.state}: {error}\n"
            "  Is there space left, and are the files in the folder the server's own?\n"
        )
        return 1
    return 0


def _run(settings: ServerSettings) -> None:
    factory = None
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(settings))


async def _serve(settings: ServerSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
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
