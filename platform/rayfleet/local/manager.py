"""``python -m rayfleet.local.manager``.

Our controllers, and the stand-ins for KubeRay and the controller manager, in one process.

On Kubernetes ``rayfleet controller`` runs the same controllers, and the real ones run the rest.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from rayfleet.controllers.run import ControllerSettings, check_server, run_controllers, usable_plugins
from rayfleet.kube.client import ClientSettings, KubeClient
from rayfleet.kube.config import connect
from rayfleet.kube.events import EventRecorder
from rayfleet.kube.watches import Reflectors
from rayfleet.local.endpoints.controller import slice_steps, slice_watches
from rayfleet.local.garbage.collector import garbage_part
from rayfleet.local.garbage.namespaces import namespace_steps, namespace_watches
from rayfleet.local.garbage.nodes import COLLECTED
from rayfleet.local.kuberay.controller import ray_cluster_steps, ray_cluster_watches
from rayfleet.local.upkeep.controller import upkeep_parts
from rayfleet.logs import configure_logging
from rayfleet.plugin.settings import read_plugin_settings
from rayfleet.process import exit_code, until_stopped
from rayfleet.reconciling.assembly import ControllerPart, Shared, run_together


async def run_stand_ins(client: KubeClient) -> None:
    """Run the stand-ins until cancelled; one set of reflectors for all of them."""
    reflectors = Reflectors(client, COLLECTED)
    recorder = EventRecorder(client, "kuberay-stand-in")
    shared = Shared(client=client, reflectors=reflectors, recorder=recorder)
    await run_together(stand_ins(client, reflectors), shared)


def stand_ins(client: KubeClient, reflectors: Reflectors) -> tuple[ControllerPart, ...]:
    """Return what stands in for KubeRay's operator and for parts of the controller manager."""
    return (
        ControllerPart(
            name="ray-clusters", steps=ray_cluster_steps(reflectors), watches=ray_cluster_watches(reflectors)
        ),
        ControllerPart(name="endpoint-slices", steps=slice_steps(reflectors), watches=slice_watches(reflectors)),
        garbage_part(client, reflectors),
        ControllerPart(
            name="namespaces", steps=namespace_steps(client, reflectors), watches=namespace_watches(reflectors)
        ),
        *upkeep_parts(client, reflectors),
    )


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m rayfleet.local.manager",
        description="Run the fleet controllers and the stand-ins for KubeRay and the controller manager.",
    )
    parser.add_argument("--kubeconfig", type=Path, required=True, help="API server to work on")
    chosen = parser.parse_args(arguments)
    configure_logging()
    return exit_code(lambda: asyncio.run(until_stopped(_work(chosen.kubeconfig))))


async def _work(kubeconfig: Path) -> None:
    sources = usable_plugins(read_plugin_settings().disabled)
    settings = ControllerSettings(kubeconfig=kubeconfig)
    # On one machine nobody else needs the API server's patience.
    limits = ClientSettings(queries_per_second=1000, burst=2000)
    async with await connect(kubeconfig, settings=limits) as client:
        await check_server(client, limit=settings.start_limit)
        async with asyncio.TaskGroup() as group:
            group.create_task(run_controllers(client, settings, sources))
            group.create_task(run_stand_ins(client))


if __name__ == "__main__":
    sys.exit(main())
