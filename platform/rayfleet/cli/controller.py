"""``controller``: our controllers against any Kubernetes API server that has KubeRay and the Gateway API."""

from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from rayfleet.cli.settings import read_cli_settings
from rayfleet.cli.target import run_long
from rayfleet.model.policies import DEFAULT_GATEWAY, ParentGateway, RouteDefaults

if TYPE_CHECKING:
    from rayfleet.controllers.operators import AdminSettings


class ProcessFlags(TypedDict):
    """What is said of the process itself and of routes, as the flags are called."""

    admin_host: str
    admin_port: int
    log_format: str

    gateway_name: str
    gateway_namespace: str
    route_hostnames: tuple[str, ...]
    route_paths: tuple[str, ...]
    route_timeout: int


@click.command("controller")
@click.option(
    "--kubeconfig", type=click.Path(dir_okay=False), help="[default: $KUBECONFIG, else the pod's service account]"
)
@click.option("--context", default=None, help="Context of the kubeconfig.")
@click.option("-n", "--namespace", default=None, help="Only fleets of this namespace. [default: all]")
@click.option(
    "--leader-election/--no-leader-election", default=False, show_default=True, help="For more than one replica."
)
@click.option("--lease-namespace", default="rayfleet-system", show_default=True, help="Where the Lease lies.")
@click.option(
    "--kube-api-qps",
    type=click.FloatRange(min=0, min_open=True),
    default=100.0,
    show_default=True,
    help="Requests per second to the API server, without Events.",
)
@click.option(
    "--kube-api-burst",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Requests at once, after a pause.",
)
@click.option(
    "--admin-host", default="127.0.0.1", show_default=True, help="Where /healthz, /readyz and /metrics are served."
)
@click.option(
    "--admin-port", type=click.IntRange(0, 65535), default=8002, show_default=True, help="Their port; 0: none."
)
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="What a log line is."
)
@click.option("--gateway-name", default=DEFAULT_GATEWAY.name, show_default=True, help="Gateway that routes are for.")
@click.option(
    "--gateway-namespace",
    default=DEFAULT_GATEWAY.namespace,
    show_default=True,
    help="Where it lies; empty: in each fleet's namespace.",
)
@click.option("--route-hostname", "route_hostnames", multiple=True, help="Host name of routes; may be repeated.")
@click.option("--route-path", "route_paths", multiple=True, help="Path prefix of routes, in place of OpenAI's two.")
@click.option(
    "--route-timeout",
    type=click.IntRange(min=0),
    default=RouteDefaults().timeout_seconds,
    show_default=True,
    help="Seconds that a request may take; 0: no limit.",
)
@run_long
async def controller_command(  # noqa: PLR0913, PLR0917 - click passes options by name
    kubeconfig: str | None,
    context: str | None,
    namespace: str | None,
    leader_election: bool,
    lease_namespace: str,
    kube_api_qps: float,
    kube_api_burst: int,
    **flags: Unpack[ProcessFlags],
) -> None:
    """Run the fleet, replica set and route controllers until SIGTERM.

    What is said of routes holds where a fleet's spec.route says nothing. On --admin-port operators find /healthz (the
    process runs), /readyz (it leads and has read what it needs, or waits for the lease) and /metrics.

    \b
    KUBECONFIG=~/.kube/config rayfleet controller
    rayfleet controller --leader-election          in a Deployment with two replicas
    """
    from pathlib import Path

    from rayfleet.controllers.run import ControllerSettings, lease_identity, lease_settings
    from rayfleet.controllers.run import run as run_controllers
    from rayfleet.kube.client import limited
    from rayfleet.logs import configure_logging
    from rayfleet.plugin.settings import read_plugin_settings

    configure_logging(flags["log_format"])
    await run_controllers(
        ControllerSettings(
            kubeconfig=(Path(kubeconfig),) if kubeconfig else read_cli_settings().kubeconfig or None,
            context=context,
            namespace=namespace,
            lease=lease_settings(lease_namespace, lease_identity()) if leader_election else None,
            disabled_plugins=read_plugin_settings().disabled,
            limits=limited(kube_api_qps, kube_api_burst),
            admin=_admin_settings(**flags),
            routes=_route_defaults(**flags),
        )
    )


def _admin_settings(**flags: Unpack[ProcessFlags]) -> "AdminSettings | None":
    from rayfleet.controllers.operators import AdminSettings

    return AdminSettings(host=flags["admin_host"], port=flags["admin_port"]) if flags["admin_port"] else None


def _route_defaults(**flags: Unpack[ProcessFlags]) -> RouteDefaults:
    return RouteDefaults(
        parent=ParentGateway(name=flags["gateway_name"], namespace=flags["gateway_namespace"]),
        hostnames=flags["route_hostnames"],
        paths=flags["route_paths"] or RouteDefaults().paths,
        timeout_seconds=flags["route_timeout"],
    )
