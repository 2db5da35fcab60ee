"""What a controller manager does for every namespace, node and disruption budget, as tests.

For the real one and for what stands in for it.
"""

from time import monotonic
from uuid import uuid4

from rayfleet.kube.client import KubeClient
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import DISRUPTION_BUDGETS, NODES, PODS, SERVICE_ACCOUNTS
from rayfleet.objects.conditions import conditions_of, decode_conditions, find_condition, is_true
from rayfleet.objects.meta import generation_of, name_of, uid_of
from rayfleet.objects.nodes import taints_of
from rayfleet.objects.owners import controller_reference
from rayfleet.objects.parts import part
from rayfleet.testing.definitions import install
from rayfleet.testing.nodes import exists
from rayfleet.testing.stand_ins import put_pod_status
from rayfleet.testing.suites.garbage import NEW_KIND_LIMIT_SECONDS, new_kind
from rayfleet.testing.waiting import LIMIT_SECONDS, until

_LOOK_AGAIN_SECONDS = 2.0  # the controller's own retries of one object come later and later

_LABELS = {"app": "budgeted"}


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

    async def test_a_share_is_of_what_the_controllers_of_the_pods_ask_for(
        self, client: KubeClient, namespace: str
    ) -> None:
        """By their scales: of three, half may go, rounded up, and half must stay, rounded up too."""
        owner = await _owner(client, namespace, replicas=3, has_scale=True)
        await _made_ready(client, namespace, 3, owner)
        await client.create(DISRUPTION_BUDGETS, _budget(namespace, minAvailable="50%"))
        await _until_counted(client, namespace, (3, 3, 2, 1), "SufficientPods")
        for bound, counts in (("50%", (3, 3, 1, 2)), (1, (3, 3, 2, 1))):
            patch = {"spec": {"minAvailable": None, "maxUnavailable": bound}}
            await client.patch(DISRUPTION_BUDGETS, ObjectKey(namespace=namespace, name="budget"), patch)
            await _until_counted(client, namespace, counts, "SufficientPods")

    async def test_pods_that_nobody_controls_are_expected_by_nobody(self, client: KubeClient, namespace: str) -> None:
        """A budget by ``maxUnavailable`` lets none of them go."""
        await _made_ready(client, namespace, 2)
        await client.create(DISRUPTION_BUDGETS, _budget(namespace, maxUnavailable=1))
        await _until_counted(client, namespace, (0, 2, 0, 0), "InsufficientPods")

    async def test_a_share_of_what_has_no_scale_lets_nothing_go_and_says_why(
        self, client: KubeClient, namespace: str
    ) -> None:
        """So a share says nothing of a Ray cluster's pods."""
        owner = await _owner(client, namespace, replicas=2, has_scale=False)
        await _made_ready(client, namespace, 2, owner)
        await client.create(DISRUPTION_BUDGETS, _budget(namespace, maxUnavailable=1))
        await _until_counted(client, namespace, (0, 0, 0, 0), "SyncFailed", "does not implement the scale subresource")


async def _until_counted(
    client: KubeClient, namespace: str, counts: tuple[int, int, int, int], reason: str, words: str = ""
) -> None:
    """Return when a budget's counts are expected, healthy, desired, allowed, for a reason in words.

    The real controller learns new kinds now and then, and looks again when a budget changes: so this changes one, and
    gives it time to write what it counted: of a budget that changed meanwhile it cannot.
    """
    key, looked_at = ObjectKey(namespace=namespace, name="budget"), 0.0

    async def counted() -> tuple[tuple[int, ...], str, str]:
        nonlocal looked_at
        if monotonic() - looked_at > _LOOK_AGAIN_SECONDS:
            looked_at = monotonic()
            note = {"metadata": {"annotations": {"look": str(looked_at)}}}
            await client.patch(DISRUPTION_BUDGETS, key, note)
        budget = await client.get(DISRUPTION_BUDGETS, "budget", namespace)
        names = ("expectedPods", "currentHealthy", "desiredHealthy", "disruptionsAllowed")
        numbers = tuple(part(budget, "status").get(name, 0) for name in names)
        condition = find_condition(decode_conditions(conditions_of(budget)), "DisruptionAllowed")
        return (numbers, condition.reason, condition.message) if condition is not None else (numbers, "", "")

    def holds(each: tuple[tuple[int, ...], str, str]) -> bool:
        return each[:2] == (counts, reason) and words in each[2]

    await until(counted, f"{counts}, {reason} {words}", NEW_KIND_LIMIT_SECONDS, holds=holds)


def _budget(namespace: str, **bound: object) -> Json:
    meta = {"name": "budget", "namespace": namespace}
    spec = {**bound, "selector": {"matchLabels": _LABELS}}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta, "spec": spec}


async def _owner(client: KubeClient, namespace: str, *, replicas: int, has_scale: bool) -> Json:
    """Return the reference to an object of a new kind that asks for so many pods."""
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    kind, definition = new_kind(schema, {"scale": scale} if has_scale else None)
    await install(client, [definition])
    meta = {"name": "owner", "namespace": namespace}
    names = {"apiVersion": kind.api_version, "kind": kind.kind}
    made = await client.create(kind, {**names, "metadata": meta, "spec": {"replicas": replicas}})
    return controller_reference(kind, name_of(made), uid_of(made))


async def _made_ready(client: KubeClient, namespace: str, count: int, *owners: ReadOnlyJson) -> None:
    """Make so many ready pods of these owners."""
    for number in range(count):
        pod = await client.create(PODS, _pod(namespace, f"pod-{number}", _LABELS, *owners))
        await put_pod_status(client, pod, address=f"10.0.0.{number + 1}")


async def _until_allowed(client: KubeClient, namespace: str, *, healthy: int, allowed: int) -> None:
    async def counted() -> tuple[object, ...]:
        budget = await client.get(DISRUPTION_BUDGETS, "budget", namespace)
        names = ("observedGeneration", "currentHealthy", "disruptionsAllowed")
        generation, *counts = (part(budget, "status").get(name) for name in names)
        return generation == generation_of(budget), *counts, is_true(budget, "DisruptionAllowed")

    expected = (True, healthy, allowed, allowed > 0)
    await until(counted, f"{healthy} healthy, {allowed} may go", LIMIT_SECONDS, holds=lambda each: each == expected)


def _pod(namespace: str, name: str, labels: ReadOnlyJson, *owners: ReadOnlyJson) -> Json:
    containers = [{"name": "c", "image": "i:1"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels), "ownerReferences": list(owners)},
        "spec": {"automountServiceAccountToken": False, "containers": containers},
    }
