"""What a test leaves in its namespace is taken away: nodes and stand-ins of later ones act on a whole API server."""

from collections.abc import Sequence
from contextlib import suppress

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import NotFound
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import ResourceType
from rayfleet.objects.meta import finalizers_of, key_of


async def take_away(client: KubeClient, namespace: str, resources: Sequence[ResourceType]) -> None:
    """Delete all of these kinds at once, whatever waits for their end; of a kind that the server lacks there is none.

    One after the other, since not every API server here deletes collections.
    """
    for resource in resources:
        with suppress(NotFound):
            for left in (await client.list(resource, namespace)).items:
                await _take_away_one(client, resource, left)


async def _take_away_one(client: KubeClient, resource: ResourceType, left: ReadOnlyJson) -> None:
    with suppress(NotFound):  # it goes by itself
        if finalizers_of(left):
            await client.patch(resource, key_of(left), {"metadata": {"finalizers": None}})
        await client.delete(resource, key_of(left), grace_period_seconds=0)
