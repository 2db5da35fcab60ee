"""Objects as they change, for commands that wait or print: listed, then watched; listed again when a watch breaks.

A watch that ends goes on where it was; one that is too old (410) or loses its server begins with a list, so nothing
that is true now is missed, though what came and went between may be. A server that does not answer the list either is
an error of the command.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from rayfleet.kube.client import KubeClient, ObjectList
from rayfleet.kube.errors import Gone, Unreachable
from rayfleet.kube.watching import WatchEvent, WatchEventType
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import ResourceType

_PAUSE_SECONDS = 0.5  # before a list after a broken watch


async def listed_then_changed(
    client: KubeClient,
    resource: ResourceType,
    namespace: str | None,
    *,
    label_selector: str = "",
    field_selector: str = "",
) -> AsyncGenerator[ObjectList | WatchEvent, None]:
    """Yield the list, then each change (no bookmarks), for ever; a list again whenever changes may have been missed."""
    while True:
        now = await client.list(resource, namespace, label_selector=label_selector, field_selector=field_selector)
        yield now
        version = now.resource_version
        try:
            while True:
                async with aclosing(
                    client.watch(
                        resource,
                        namespace,
                        resource_version=version,
                        label_selector=label_selector,
                        field_selector=field_selector,
                    )
                ) as events:
                    async for event in events:
                        version = event.resource_version
                        if event.type is not WatchEventType.BOOKMARK:
                            yield event
                await asyncio.sleep(_PAUSE_SECONDS)
        except (Gone, Unreachable):
            await asyncio.sleep(_PAUSE_SECONDS)


async def states_of(client: KubeClient, resource: ResourceType, key: ObjectKey) -> AsyncGenerator[Json | None, None]:
    """Yield the object as it is, and again after each change, for ever; None while it is not there."""
    selector = f"metadata.name={key.name}"
    async with aclosing(
        listed_then_changed(client, resource, key.namespace or None, field_selector=selector)
    ) as changes:
        async for change in changes:
            if isinstance(change, ObjectList):
                yield next(iter(change.items), None)
            else:
                yield None if change.type is WatchEventType.DELETED else change.object
