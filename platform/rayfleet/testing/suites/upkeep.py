"""What a controller manager does for every namespace and every node, as tests.

For the real one and for what stands in for it.
"""

from uuid import uuid4

from rayfleet.kube.client import KubeClient
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import NODES, SERVICE_ACCOUNTS
from rayfleet.objects.meta import uid_of
from rayfleet.objects.nodes import taints_of
from rayfleet.testing.nodes import exists
from rayfleet.testing.waiting import LIMIT_SECONDS, until


class UpkeepSuite:
    """Subclass it with a fixture that runs what takes care of accounts and nodes."""

    async def test_every_namespace_has_its_account(self, client: KubeClient, namespace: str) -> None:
        """One that is deleted comes again."""
        key = ObjectKey(namespace=namespace, name="default")
        await until(lambda: exists(client, SERVICE_ACCOUNTS, key), "the account is there", LIMIT_SECONDS)
        first = uid_of(await client.get(SERVICE_ACCOUNTS, key.name, key.namespace))
        await client.delete(SERVICE_ACCOUNTS, key, uid=first)

        async def successor() -> bool:
            return await exists(client, SERVICE_ACCOUNTS, key) and first != uid_of(
                await client.get(SERVICE_ACCOUNTS, key.name, key.namespace)
            )

        await until(successor, "the account is there again", LIMIT_SECONDS)

    async def test_a_node_is_tainted_until_it_is_ready(self, client: KubeClient) -> None:
        """Other taints stay."""
        name = f"node-{uuid4().hex[:10]}"
        own = {"key": "rayfleet.test/own", "effect": "NoSchedule"}
        manifest = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"taints": [own]}}
        key = ObjectKey(namespace="", name=name)
        node = await client.create(NODES, manifest)
        assert {each.key for each in taints_of(node)} == {"rayfleet.test/own", "node.kubernetes.io/not-ready"}
        ready: Json = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready"}
        await client.patch(NODES, key, {"status": {"conditions": [ready]}}, subresource="status")

        async def keys() -> list[str]:
            return [each.key for each in taints_of(await client.get(NODES, name))]

        await until(keys, "the taint is off", LIMIT_SECONDS, holds=lambda each: each == ["rayfleet.test/own"])
        await client.delete(NODES, key)
