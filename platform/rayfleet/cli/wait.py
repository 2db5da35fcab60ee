"""``wait``: until objects are as they are wished to be, as ``kubectl wait``."""

import asyncio
from contextlib import aclosing
from datetime import timedelta

import click

from rayfleet.cli.completing import objects_argument
from rayfleet.cli.durations import Duration
from rayfleet.cli.kinds import Reference, named_references, references
from rayfleet.cli.target import Session, Target, run
from rayfleet.cli.target_options import target_options
from rayfleet.cli.wait_for import State, Wish, parse_wish
from rayfleet.model.errors import SettingsError, WrongUse
from rayfleet.model.meta import ObjectKey
from rayfleet.objects.meta import key_of


@click.command("wait")
@objects_argument(required=True, metavar="KIND/NAME")
@click.option(
    "--for", "wish", required=True, help="condition=NAME[=STATUS], jsonpath='{...}'[=VALUE], create or delete."
)
@click.option(
    "--timeout",
    type=Duration(),
    default="30s",
    show_default=True,
    help="How long to wait at most, for all of them; 0: look once.",
)
@click.option("-l", "--selector", default="", help="All objects of the kind with these labels.")
@click.option("--all", "is_all", is_flag=True, help="All objects of the kind.")
@target_options
@run
async def wait_command(
    what: tuple[str, ...], wish: str, timeout: timedelta, selector: str, is_all: bool, target: Target
) -> int:
    """Wait until objects are as wished; exit code 1 when they are not in time, and what is so instead.

    Nothing that -l or --all chooses is an error too, unless deletion is waited for.

    \b
    rayfleet wait rcf/smollm2 --for=condition=Available --timeout=5m
    rayfleet wait rcf/smollm2 --for=jsonpath='{.status.readyReplicas}'=3
    rayfleet wait rayclusters -l ray.io/cluster=a --for=delete
    """
    wished = parse_wish(wish)
    async with target.session() as session:
        waited = await _chosen(session, what, selector, is_all=is_all)
        if not waited and not wished.holds(None):
            raise SettingsError(
                f"no {' or '.join(what)} to wait for",
                way_out=f"`rayfleet get {' '.join(what)}` lists what is there.",
            )
        ends_at = asyncio.get_running_loop().time() + timeout.total_seconds()
        answers = [await _met(session, each, key, wished, ends_at) for each, key in waited]
    return 0 if all(answers) else 1


async def _chosen(
    session: Session, what: tuple[str, ...], selector: str, *, is_all: bool
) -> list[tuple[Reference, ObjectKey]]:
    """Return what to wait for. Raises WrongUse when it is not said, or said twice."""
    if not (selector or is_all):
        named = named_references(what, "rayfleet wait rcf/NAME --for=condition=Available")
        return [(each, session.key(each.resource, each.name)) for each in named]
    chosen: list[tuple[Reference, ObjectKey]] = []
    for kind in references(what):
        if kind.name:
            raise WrongUse("names and --all or -l each say which objects", way_out="Give one of them.")
        listed = await session.client.list(kind.resource, session.list_namespace, label_selector=selector)
        keys = [key_of(item) for item in listed.items]
        chosen += [(Reference(resource=kind.resource, name=key.name), key) for key in keys]
    return chosen


async def _met(session: Session, reference: Reference, key: ObjectKey, wish: Wish, ends_at: float) -> bool:
    """Wait for one object until a time of the loop's clock, or look once after it, and say what came of it.

    Raises NotFound when it is not there and nobody waits for that.
    """
    from rayfleet.cli.watching import states_of
    from rayfleet.kube.errors import NotFound

    state: State = None
    is_late = asyncio.get_running_loop().time() >= ends_at
    try:
        async with (
            asyncio.timeout_at(None if is_late else ends_at),
            aclosing(states_of(session.client, reference.resource, key)) as states,
        ):
            async for state in states:
                if wish.holds(state):
                    click.echo(f"{reference} condition met")
                    return True
                if state is None and not wish.accepts_absence:
                    raise NotFound(f"{reference} is not there", code=404)
                if is_late:
                    break
    except TimeoutError:
        pass
    click.echo(f"error: timed out waiting for {reference}: {wish.shown(state)}", err=True)
    return False
