"""What a controller manager does for every namespace, node and disruption budget, as tests.

For the real one and for what stands in for it.
"""

from uuid import uuid4

from rayfleet.kube.client import KubeClient
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import DISRUPTION_BUDGETS, NODES, PODS, SERVICE_ACCOUNTS
from rayfleet.objects.conditions import is_true
from rayfleet.objects.meta import generation_of, uid_of
from rayfleet.objects.nodes import taints_of
from rayfleet.objects.parts import part
from rayfleet.testing.nodes import exists
from rayfleet.testing.stand_ins import put_pod_status
from rayfleet.testing.waiting import LIMIT_SECONDS, until


class UpkeepSuite:
    """Subclass it with a fixture that runs what takes care of accounts, nodes and disruption budgets."""

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

    async def test_a_budget_is_counted(self, client: KubeClient, namespace: str) -> None:
        """As pods get ready and go: what may be disrupted is what is healthy beyond what must be."""
        labels = {"app": "budgeted"}
        budget = {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "budget", "namespace": namespace},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}},
        }
        await client.create(DISRUPTION_BUDGETS, budget)
        await _until_allowed(client, namespace, healthy=0, allowed=0)
        for name in ("one", "two"):
            pod = await client.create(PODS, _pod(namespace, name, labels))
            await put_pod_status(client, pod, address="10.0.0.7")
        await _until_allowed(client, namespace, healthy=2, allowed=1)
        await client.delete(PODS, ObjectKey(namespace=namespace, name="one"), grace_period_seconds=0)
        await _until_allowed(client, namespace, healthy=1, allowed=0)


async def _until_allowed(client: KubeClient, namespace: str, *, healthy: int, allowed: int) -> None:
    async def counted() -> tuple[object, ...]:
        budget = await client.get(DISRUPTION_BUDGETS, "budget", namespace)
        names = ("observedGeneration", "currentHealthy", "disruptionsAllowed")
        generation, *counts = (part(budget, "status").get(name) for name in names)
        return generation == generation_of(budget), *counts, is_true(budget, "DisruptionAllowed")

    expected = (True, healthy, allowed, allowed > 0)
    await until(counted, f"{healthy} healthy, {allowed} may go", LIMIT_SECONDS, holds=lambda each: each == expected)


def _pod(namespace: str, name: str, labels: ReadOnlyJson) -> Json:
    containers = [{"name": "c", "image": "i:1"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "spec": {"automountServiceAccountToken": False, "containers": containers},
    }
