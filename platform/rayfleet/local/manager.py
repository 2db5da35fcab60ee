"""``python -m rayfleet.local.manager``.

Our controllers, and the stand-ins for KubeRay and the controller manager, in one process.

On Kubernetes ``rayfleet controller`` runs the same controllers, and the real ones run the rest.
"""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from rayfleet.controllers.run import ControllerSettings, check_kinds, run_controllers
from rayfleet.kube.client import ClientSettings, KubeClient
from rayfleet.kube.config import connect
from rayfleet.kube.events import EventRecorder
from rayfleet.kube.reflector import Reflector
from rayfleet.local.endpoints.reconciler import endpoint_slice_controller
from rayfleet.local.garbage.collector import GarbageCollector
from rayfleet.local.garbage.namespaces import namespace_controller
from rayfleet.local.garbage.nodes import COLLECTED
from rayfleet.local.kuberay.reconciler import ray_cluster_controller
from rayfleet.logs import configure_logging
from rayfleet.model.errors import RayfleetError, leaves
from rayfleet.model.resources import NAMESPACES
from rayfleet.plugin import registry
from rayfleet.plugin.disabled import disabled_plugins


async def run_stand_ins(client: KubeClient) -> None:
    """Run the stand-ins until cancelled; one set of reflectors for all of them."""
    reflectors = {resource: Reflector(client, resource) for resource in (*COLLECTED, NAMESPACES)}
    recorder = EventRecorder(client, "kuberay-stand-in")
    parts = (
        ray_cluster_controller(client, reflectors, recorder),
        endpoint_slice_controller(client, reflectors),
        GarbageCollector(client, reflectors),
        namespace_controller(client, reflectors),
    )
    async with asyncio.TaskGroup() as group:
        for part in parts:
            group.create_task(part.run())
        group.create_task(recorder.run())
        for reflector in reflectors.values():
            group.create_task(reflector.run())


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m rayfleet.local.manager",
        description="Run the fleet controllers and the stand-ins for KubeRay, endpoint slices and garbage collection.",
    )
    parser.add_argument("--kubeconfig", type=Path, required=True, help="API server to work on")
    chosen = parser.parse_args(arguments)
    configure_logging()
    code = 0
    try:
        asyncio.run(_run(chosen.kubeconfig))
    except* RayfleetError as group:
        code = 1
        for error in leaves(group):
            sys.stderr.write(f"error: {error}\n")
    return code


async def _run(kubeconfig: Path) -> None:
    """Work until a signal; one that comes while the API server is still waited for counts too."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as group:
        work = group.create_task(_work(kubeconfig))
        await stop.wait()
        work.cancel()


async def _work(kubeconfig: Path) -> None:
    engines = registry.load(disabled=disabled_plugins()).engines
    settings = ControllerSettings(kubeconfig=kubeconfig)
    # On one machine nobody else needs the API server's patience.
    limits = ClientSettings(queries_per_second=1000, burst=2000)
    async with await connect(kubeconfig, settings=limits) as client:
        await check_kinds(client, limit=settings.start_limit)
        async with asyncio.TaskGroup() as group:
            group.create_task(run_controllers(client, settings, engines))
            group.create_task(run_stand_ins(client))


if __name__ == "__main__":
    sys.exit(main())
