"""The options that all commands share which speak to an API server; ``target`` is what they say."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from rayfleet.cli.completing import complete_namespaces
from rayfleet.cli.target import Target


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --name, --kubeconfig, --context, --namespace, --all-namespaces; the command gets one ``target``."""

    @click.option("--name", help="Speak to this cluster of this machine, as given to `rayfleet up`.")
    @click.option(
        "--kubeconfig",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Speak to the API server of this file. [default: $KUBECONFIG, else the cluster of this machine, "
        "else ~/.kube/config, else the pod's service account]",
    )
    @click.option("--context", help="Context of the kubeconfig. [default: its current one]")
    @click.option(
        "-n",
        "--namespace",
        help="Namespace of the objects. [default: the context's]",
        shell_complete=complete_namespaces,
    )
    @click.option("-A", "--all-namespaces", is_flag=True, help="Objects of every namespace.")
    @functools.wraps(command)
    def with_target(
        *args: Any,
        name: str | None,
        kubeconfig: Path | None,
        context: str | None,
        namespace: str | None,
        all_namespaces: bool,
        **rest: Any,
    ) -> Any:
        if name is not None and kubeconfig is not None:
            raise click.UsageError("--name and --kubeconfig each say which API server; give one of them")
        target = Target(
            kubeconfig=kubeconfig, name=name, context=context, namespace=namespace, is_everywhere=all_namespaces
        )
        return command(*args, target=target, **rest)

    return with_target
