"""Which API server a command speaks to, and how its errors reach a person.

``--kubeconfig`` wins, then ``$KUBECONFIG``, then the cluster of this machine (``--name``), if it runs.
"""

import asyncio
import functools
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import click

from rayfleet.cli.settings import read_cli_settings
from rayfleet.local.folders import ClusterFolders, cluster_folders
from rayfleet.local.supervisor.record import read_record
from rayfleet.model.errors import RayfleetError, SettingsError, leaves

if TYPE_CHECKING:
    from rayfleet.kube.client import KubeClient

P = ParamSpec("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the shared options say; ``namespace`` is empty for all of them."""

    kubeconfig: Path | None
    name: str
    namespace: str

    @property
    def folders(self) -> ClusterFolders:
        """The folders of the local cluster ``name``."""
        return cluster_folders(read_cli_settings().state_home, self.name)

    def kubeconfig_path(self) -> Path:
        """Return the kubeconfig to use. Raises SettingsError when there is none, with the way out."""
        chosen = self.kubeconfig or read_cli_settings().kubeconfig
        if chosen is not None:
            return chosen
        if self.folders.kubeconfig.exists():
            if read_record(self.folders.record) is None:
                raise SettingsError(
                    f"cluster {self.name!r} does not run on this machine, and KUBECONFIG is not set",
                    way_out="Start it with `rayfleet up --detach`, or name another API server with --kubeconfig.",
                )
            return self.folders.kubeconfig
        raise SettingsError(
            f"no API server to speak to: cluster {self.name!r} does not exist on this machine "
            "and KUBECONFIG is not set",
            way_out="Start one here with `rayfleet up`, or name yours with --kubeconfig.",
        )

    @asynccontextmanager
    async def client(self) -> "AsyncIterator[KubeClient]":
        """Yield an opened client."""
        from rayfleet.kube.config import connect

        async with await connect(self.kubeconfig_path()) as client:
            yield client


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --name, --kubeconfig, --namespace, --all-namespaces; the command gets one ``target``."""

    @click.option(
        "--name", default="default", show_default=True, help="Cluster of this machine, as given to `rayfleet up`."
    )
    @click.option(
        "--kubeconfig",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Speak to this API server instead. [default: $KUBECONFIG, else the cluster of this machine]",
    )
    @click.option("-n", "--namespace", default="default", show_default=True, help="Namespace of the objects.")
    @click.option("-A", "--all-namespaces", is_flag=True, help="Objects of every namespace.")
    @functools.wraps(command)
    def with_target(
        *args: Any, name: str, kubeconfig: Path | None, namespace: str, all_namespaces: bool, **rest: Any
    ) -> Any:
        target = Target(kubeconfig=kubeconfig, name=name, namespace="" if all_namespaces else namespace)
        return command(*args, target=target, **rest)

    return with_target


def run(command: Callable[P, Coroutine[Any, Any, int | None]]) -> Callable[P, None]:
    """Run an asynchronous command: its number is the exit code, a RayfleetError becomes a message and 1."""

    @functools.wraps(command)
    def to_completion(*args: P.args, **rest: P.kwargs) -> None:
        try:
            code = asyncio.run(command(*args, **rest))
        except* RayfleetError as group:
            for error in leaves(group):
                click.echo(f"error: {error}", err=True)
            sys.exit(1)
        except* BrokenPipeError:
            sys.exit(0)  # `rayfleet get ... | head` is no failure
        sys.exit(code or 0)

    return to_completion
