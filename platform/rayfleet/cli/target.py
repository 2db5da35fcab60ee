"""What the shared options say: which API server, which namespace; and how errors reach a person.

``cli/sources.py`` has the order in which an API server is looked for. The namespace is ``-n``'s, else the context's,
else ``default``, as kubectl's.
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
from rayfleet.cli.sources import local_folders, source_of
from rayfleet.local.folders import ClusterFolders
from rayfleet.model.errors import RayfleetError, WrongUse, leaves
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import ResourceType
from rayfleet.process import loop_factory

if TYPE_CHECKING:
    from rayfleet.kube.client import KubeClient

P = ParamSpec("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """An opened client and where the command looks.

    ``namespace`` is the one for objects that are named; ``list_namespace`` is None when ``-A`` asks for all of them.
    """

    client: "KubeClient"
    namespace: str
    is_everywhere: bool = False

    @property
    def list_namespace(self) -> str | None:
        """The namespace to list in, None for all."""
        return None if self.is_everywhere else self.namespace

    def key(self, resource: ResourceType, name: str) -> ObjectKey:
        """Return where the object of that name lies. Raises WrongUse under ``-A``: one name, many namespaces."""
        if resource.is_namespaced and self.is_everywhere:
            raise WrongUse(
                f"{resource.plural}/{name}: -A lists and cannot say which object is meant",
                way_out="Name its namespace with -n.",
            )
        return ObjectKey(namespace=self.namespace if resource.is_namespaced else "", name=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The shared options as given; None is what was not said."""

    kubeconfig: Path | None = None
    name: str | None = None
    context: str | None = None
    namespace: str | None = None
    is_everywhere: bool = False

    async def local_folders(self) -> ClusterFolders | None:
        """Return the folders of the cluster of this machine that is meant, running or not; None for another's."""
        settings = read_cli_settings()
        return await asyncio.to_thread(local_folders, settings, kubeconfig=self.kubeconfig, name=self.name)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Yield an opened client with its namespace. Raises SettingsError when there is no API server to speak to."""
        from rayfleet.kube.config import connect

        settings = read_cli_settings()
        source = await asyncio.to_thread(source_of, settings, kubeconfig=self.kubeconfig, name=self.name)
        async with await connect(source.files, self.context) as client:
            namespace = self.namespace or client.address.namespace
            yield Session(client=client, namespace=namespace, is_everywhere=self.is_everywhere)


def run(command: Callable[P, Coroutine[Any, Any, int | None]]) -> Callable[P, None]:
    """Run a command: its number is the exit code; a RayfleetError becomes a message and 1 (WrongUse 2)."""
    return _to_completion(command, lambda: None)


def run_long(command: Callable[P, Coroutine[Any, Any, int | None]]) -> Callable[P, None]:
    """Run a command as ``run`` does, for one that stays: on the quickest loop that there is."""
    return _to_completion(command, loop_factory)


def _to_completion(
    command: Callable[P, Coroutine[Any, Any, int | None]],
    factory: Callable[[], Callable[[], asyncio.AbstractEventLoop] | None],
) -> Callable[P, None]:
    @functools.wraps(command)
    def to_completion(*args: P.args, **rest: P.kwargs) -> None:
        try:
            with asyncio.Runner(loop_factory=factory()) as runner:
                code = runner.run(command(*args, **rest))
        except* RayfleetError as group:
            errors = leaves(group)
            for error in errors:
                click.echo(f"error: {error}", err=True)
            sys.exit(2 if any(isinstance(error, WrongUse) for error in errors) else 1)
        except* BrokenPipeError:
            sys.exit(0)  # `rayfleet get ... | head` is no failure
        sys.exit(code or 0)

    return to_completion
