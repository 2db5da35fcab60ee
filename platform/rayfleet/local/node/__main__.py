"""``python -m rayfleet.local.node``: run the node, or clean up after one."""

import argparse
import asyncio
import contextlib
import sys
from pathlib import Path

import aiohttp

from rayfleet.kube.config import connect
from rayfleet.kube.events import EventRecorder
from rayfleet.kube.watches import Reflectors
from rayfleet.local.node.agent import Agent
from rayfleet.local.node.cleanup import cleanup
from rayfleet.local.node.directory import DIRECTORY_KINDS, Directory
from rayfleet.local.node.mounts import can_mount
from rayfleet.local.node.processes import Children
from rayfleet.local.node.services import NodeServices
from rayfleet.local.node.settings import NodeSettings, accelerator_counts, node_folders, own_variables
from rayfleet.local.node.slots import Slots
from rayfleet.logs import configure_logging
from rayfleet.model.errors import SettingsError
from rayfleet.model.resources import NODES, PODS
from rayfleet.plugin.registry import load
from rayfleet.plugin.settings import read_plugin_settings
from rayfleet.process import exit_code, stop_event


def main(arguments: list[str] | None = None) -> int:
    """Run the node until SIGTERM or SIGINT; return the exit code."""
    chosen = _parser().parse_args(arguments)
    configure_logging()
    if chosen.command == "cleanup":
        sys.stdout.write(f"ended {cleanup(chosen.state)} processes\n")
        return 0
    return exit_code(lambda: asyncio.run(_run(_settings(chosen))))


async def _run(settings: NodeSettings) -> None:
    stop, plugins = stop_event(), read_plugin_settings()
    async with (
        await connect(settings.kubeconfig) as client,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0)) as session,
    ):
        reflectors = Reflectors(client, (PODS, NODES, *DIRECTORY_KINDS))
        agent = Agent(client, settings, reflectors)
        directory = Directory(reflectors, agent.workers)
        services = NodeServices(
            client=client,
            folders=settings.folders,
            slots=Slots(settings.folders),
            session=session,
            environments=tuple(load(disabled=plugins.disabled).local_environments.values()),
            cache=plugins.cache,
            own_bin=Path(sys.executable).parent,
            variables=own_variables(),
            resolve=directory.resolve,
            lookup_in=directory.lookup_in,
            children=Children(takes_orphans=True),
            events=EventRecorder(client, "rayfleet-node"),
            can_mount=await asyncio.to_thread(can_mount),
        )
        running = asyncio.create_task(agent.run(services))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set() and not settings.leaves_running:
            await agent.end_all()
        stopping.cancel()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


def _settings(chosen: argparse.Namespace) -> NodeSettings:
    if chosen.kubeconfig is None:
        raise SettingsError("--kubeconfig is missing", way_out="Name the kubeconfig of the API server.")
    return NodeSettings(
        kubeconfig=chosen.kubeconfig,
        folders=node_folders(chosen.state),
        name=chosen.name,
        accelerators=accelerator_counts(chosen.accelerators),
        leaves_running=chosen.leave_running,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m rayfleet.local.node",
        description="Run the pods of an API server as processes of this machine; `cleanup` ends what a node left.",
    )
    parser.add_argument("command", nargs="?", choices=["run", "cleanup"], default="run", help="default: %(default)s")
    parser.add_argument("--kubeconfig", type=Path, help="API server whose pods are run")
    parser.add_argument("--state", type=Path, required=True, help="folder of the cluster's state; pods lie below it")
    parser.add_argument("--name", default="local", help="name of the Node object (default: %(default)s)")
    parser.add_argument(
        "--accelerators",
        action="append",
        default=[],
        metavar="RESOURCE=N",
        help="integers to schedule; may be repeated",
    )
    parser.add_argument(
        "--leave-running", action="store_true", help="SIGTERM ends the node only; the next takes its pods back"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
