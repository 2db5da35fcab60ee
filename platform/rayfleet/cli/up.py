"""``up``: a fleet on this machine, from nothing to a first answer, and then until Ctrl-C."""

import asyncio
import contextlib
from datetime import timedelta

import click

from rayfleet.cli.bring_up import UpOptions, serve
from rayfleet.cli.phases import Phases
from rayfleet.cli.settings import read_cli_settings
from rayfleet.cli.target import run
from rayfleet.model.errors import WrongUse
from rayfleet.process import stop_event

QUESTION = "What is the capital of France?"


@click.command("up")
@click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    help="Manifest with fleets. [default: what the cluster has, else a quickstart]",
)
@click.option(
    "--name", default="default", show_default=True, help="Name of the cluster; each has its own state folder."
)
@click.option("--once", is_flag=True, help="Answer one question, shut down, exit.")
@click.option("--detach", is_flag=True, help="Return when the first answer came; `rayfleet down` ends the cluster.")
@click.option(
    "--gateway-port", default=8000, show_default=True, help="Port for OpenAI clients on 127.0.0.1; 0: any free one."
)
@click.option(
    "--api-port", default=0, help="Port of the API server. [default: the one of last time, else any free one]"
)
@click.option(
    "--accelerators",
    multiple=True,
    metavar="RESOURCE=N",
    help="What the node offers, as nvidia.com/gpu=4; may be repeated.",
)
@click.option("--question", default=QUESTION, show_default=True, help="What to ask the model first.")
@click.option("--timeout", default=300, show_default=True, help="Seconds to wait for the first answer.")
def up_command(  # noqa: PLR0913, PLR0917 - click passes options by name
    files: tuple[str, ...],
    name: str,
    once: bool,
    detach: bool,
    gateway_port: int,
    api_port: int,
    accelerators: tuple[str, ...],
    question: str,
    timeout: int,
) -> None:
    """Serve fleets on this machine: API server, controllers, node, Ray clusters, engines and gateway.

    Without -f it serves a small real model (SmolLM2) on a Ray cluster of two nodes. The API server is a Kubernetes one
    for kubectl; state lies in one folder per --name and survives.

    \b
    rayfleet up                                       quickstart, until Ctrl-C
    rayfleet up -f fleet.yaml --detach                in the background; see `rayfleet status`, `rayfleet down`
    rayfleet up --once                                one answer, then everything is shut down
    """
    options = UpOptions(
        files=files,
        name=name,
        once=once,
        detach=detach,
        gateway_port=gateway_port,
        api_port=api_port,
        accelerators=accelerators,
        question=question,
        timeout=timedelta(seconds=timeout),
    )
    run(_up)(options)


async def _up(options: UpOptions) -> int:
    if options.once and options.detach:
        raise WrongUse("--once and --detach exclude each other", way_out="--once shuts down when it has answered.")
    interrupted = stop_event()
    phases = Phases(is_plain=read_cli_settings().is_plain)
    work = asyncio.create_task(serve(options, phases, interrupted))
    stopping = asyncio.create_task(interrupted.wait())
    try:
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
    except BaseException:
        phases.abandon()
        raise
    finally:
        stopping.cancel()
    return 0
