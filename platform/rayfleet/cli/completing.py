"""Words that a shell may offer next: kinds, and the names of what the API server has.

Who completes is in the middle of a line: an API server that is not there, is slow or says no costs the offer, never a
message on the terminal. What words come next is pure; only ``_names`` asks.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from rayfleet.cli.kinds import kind_words, resource_named
from rayfleet.cli.target import Target
from rayfleet.model.errors import RayfleetError
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import FLEETS, NAMESPACES, ResourceType
from rayfleet.objects.labels import MODEL_LABEL
from rayfleet.objects.meta import label, name_of

if TYPE_CHECKING:
    from rayfleet.kube.client import ObjectList

LIMIT_SECONDS = 3.0
"""A person who presses Tab waits no longer; kubectl's own completion has no limit."""


def complete_objects(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return what may come next of ``KIND NAME...`` and ``KIND/NAME...``."""
    before: Sequence[str] = context.params.get(parameter.name or "") or ()
    return _offered(_words(context, before, incomplete), incomplete)


def complete_fleets(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return what may come next where a fleet is named: ``NAME``, or ``rcf/NAME`` once a kind is written."""
    if "/" in incomplete:
        return complete_objects(context, parameter, incomplete)
    return _offered(_names(context, FLEETS), incomplete)


def complete_models(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the models that fleets name."""
    return _offered(_names(context, FLEETS, lambda fleet: label(fleet, MODEL_LABEL)), incomplete)


def complete_namespaces(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the namespaces."""
    return _offered(_names(context, NAMESPACES), incomplete)


def _words(context: click.Context, before: Sequence[str], incomplete: str) -> Iterable[str]:
    """Return the words that fit after ``before``, a few that do not begin as ``incomplete`` does among them."""
    kind, slash, _ = incomplete.partition("/")
    try:
        if slash:
            return [f"{kind}/{name}" for name in _names(context, resource_named(kind))]
        if not before or "/" in before[0]:
            return kind_words()
        names = _names(context, resource_named(before[0]))
    except RayfleetError:  # no such kind
        return ()
    return [name for name in names if name not in before[1:]]


def _offered(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in sorted(set(words)) if word and word.startswith(incomplete)]


def _names(
    context: click.Context, resource: ResourceType, shown: Callable[[ReadOnlyJson], str] = name_of
) -> Iterable[str]:
    """Return what is shown of each object of a kind, none when the API server cannot be asked in time."""
    given = context.params
    target = Target(
        kubeconfig=given.get("kubeconfig"),
        name=given.get("name"),
        context=given.get("context"),
        namespace=given.get("namespace"),
        is_everywhere=bool(given.get("all_namespaces")),
    )
    try:
        listed = asyncio.run(_listed(target, resource))
    except (RayfleetError, TimeoutError, OSError):
        return ()
    return [shown(each) for each in listed.items]


async def _listed(target: Target, resource: ResourceType) -> "ObjectList":
    async with asyncio.timeout(LIMIT_SECONDS), target.session() as session:
        return await session.client.list(resource, session.list_namespace if resource.is_namespaced else None)


def objects_argument(**rest: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the argument ``what`` of a command that names objects, with what a shell may offer for it."""
    return click.argument("what", nargs=-1, shell_complete=complete_objects, **rest)
