"""What a garbage collector and a namespace controller do, as tests.

For the real ones and for what stands in for them.
"""

from uuid import uuid4

from rayfleet.kube.client import KubeClient
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.propagation import Propagation
from rayfleet.model.resources import CONFIG_MAPS, CRDS, EVENTS, LEASES, NAMESPACES, SECRETS, SERVICES, ResourceType
from rayfleet.objects.meta import is_terminating, key_of, name_of, uid_of
from rayfleet.objects.owners import owners_of
from rayfleet.testing.definitions import install
from rayfleet.testing.nodes import exists, until_gone
from rayfleet.testing.waiting import LIMIT_SECONDS, until

NEW_KIND_LIMIT_SECONDS = 90.0  # the real collector looks for new kinds every half minute


class GarbageCollectorSuite:
    """Subclass it with a fixture that runs a garbage collector and a namespace controller."""

    async def test_dependents_of_a_deleted_owner_go_down_to_the_last(self, client: KubeClient, namespace: str) -> None:
        """Background deletion takes dependents of dependents too, and nothing else."""
        top = await client.create(CONFIG_MAPS, config_map(namespace, "top"))
        middle = await client.create(CONFIG_MAPS, config_map(namespace, "middle", top))
        leaf = await client.create(CONFIG_MAPS, config_map(namespace, "leaf", middle))
        free = await client.create(CONFIG_MAPS, config_map(namespace, "free"))
        await client.delete(CONFIG_MAPS, key_of(top))
        await _until_gone(client, top, middle, leaf)
        assert await exists(client, CONFIG_MAPS, key_of(free))

    async def test_an_owner_with_the_same_name_and_another_uid_keeps_nothing(
        self, client: KubeClient, namespace: str
    ) -> None:
        """Owners are known by UID."""
        first = await client.create(CONFIG_MAPS, config_map(namespace, "owner"))
        leaf = await client.create(CONFIG_MAPS, config_map(namespace, "leaf", first))
        await client.delete(CONFIG_MAPS, key_of(first))
        second = await client.create(CONFIG_MAPS, config_map(namespace, "owner"))
        await _until_gone(client, leaf)
        assert await exists(client, CONFIG_MAPS, key_of(second))

    async def test_foreground_waits_for_what_blocks_and_for_no_more(self, client: KubeClient, namespace: str) -> None:
        """Only dependents with blockOwnerDeletion hold their owner."""
        top = await client.create(CONFIG_MAPS, config_map(namespace, "top"))
        middle = await client.create(CONFIG_MAPS, config_map(namespace, "middle", top))
        leaf = await client.create(CONFIG_MAPS, config_map(namespace, "leaf", middle))
        idle = await client.create(CONFIG_MAPS, config_map(namespace, "idle", top, blocks=False))
        await _hold(client, leaf, is_held=True)
        await _hold(client, idle, is_held=True)
        await client.delete(CONFIG_MAPS, key_of(top), propagation=Propagation.FOREGROUND)

        async def is_leaf_marked() -> bool:
            return is_terminating(await client.get(CONFIG_MAPS, "leaf", namespace))

        await until(is_leaf_marked, "the leaf is marked for deletion", LIMIT_SECONDS)
        assert await exists(client, CONFIG_MAPS, key_of(top))
        assert await exists(client, CONFIG_MAPS, key_of(middle))
        await _hold(client, leaf, is_held=False)
        await _until_gone(client, top, middle, leaf)
        assert await exists(client, CONFIG_MAPS, key_of(idle))
        await _hold(client, idle, is_held=False)
        await _until_gone(client, idle)

    async def test_orphaned_dependents_live_on_without_their_owner(self, client: KubeClient, namespace: str) -> None:
        """Orphaning takes the references away."""
        top = await client.create(CONFIG_MAPS, config_map(namespace, "top"))
        leaf = await client.create(CONFIG_MAPS, config_map(namespace, "leaf", top))
        await client.delete(CONFIG_MAPS, key_of(top), propagation=Propagation.ORPHAN)
        await _until_gone(client, top)
        assert owners_of(await client.get(CONFIG_MAPS, "leaf", namespace)) == ()
        assert await exists(client, CONFIG_MAPS, key_of(leaf))

    async def test_a_second_owner_keeps_a_dependent(self, client: KubeClient, namespace: str) -> None:
        """A dependent loses the reference to an owner that goes, and lives."""
        one = await client.create(CONFIG_MAPS, config_map(namespace, "one"))
        two = await client.create(CONFIG_MAPS, config_map(namespace, "two"))
        leaf = await client.create(CONFIG_MAPS, config_map(namespace, "leaf", one, two))
        await client.delete(CONFIG_MAPS, key_of(one), propagation=Propagation.FOREGROUND)
        await _until_gone(client, one)

        async def owners() -> list[str]:
            return [owner.uid for owner in owners_of(await client.get(CONFIG_MAPS, "leaf", namespace))]

        await until(owners, "the second owner alone", LIMIT_SECONDS, holds=lambda uids: uids == [uid_of(two)])
        await client.delete(CONFIG_MAPS, key_of(two))
        await _until_gone(client, leaf)

    async def test_an_owner_of_an_unknown_kind_is_left_to_others(self, client: KubeClient, namespace: str) -> None:
        """What is not known is not judged; what is known to be gone is."""
        stranger = {"kind": "Stranger", "metadata": {"name": "s", "uid": str(uuid4())}}
        manifest = config_map(namespace, "foreign", stranger)
        manifest["metadata"]["ownerReferences"][0]["apiVersion"] = "example.com/v1"
        foreign = await client.create(CONFIG_MAPS, manifest)
        gone = {"kind": "ConfigMap", "metadata": {"name": "never", "uid": str(uuid4())}}
        orphan = await client.create(CONFIG_MAPS, config_map(namespace, "orphan", gone))
        await _until_gone(client, orphan)
        assert await exists(client, CONFIG_MAPS, key_of(foreign))

    async def test_a_deleted_namespace_goes_with_all_that_is_in_it(self, client: KubeClient) -> None:
        """A namespace waits for the last object in it."""
        name = f"test-{uuid4().hex[:10]}"
        await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        meta = {"name": "x", "namespace": name}
        held = await client.create(CONFIG_MAPS, config_map(name, "held"))
        await _hold(client, held, is_held=True)
        await client.create(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": meta})
        await client.create(LEASES, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta})
        about = {"kind": "ConfigMap", "name": "held", "namespace": name}
        event = {"apiVersion": "v1", "kind": "Event", "metadata": meta, "involvedObject": about, "reason": "Test"}
        await client.create(EVENTS, event)
        ports = {"ports": [{"port": 80}], "selector": {"a": "b"}, "clusterIP": "None"}
        await client.create(SERVICES, {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": ports})
        key = key_of({"metadata": {"name": name}})
        await client.delete(NAMESPACES, key)

        for kind in (SECRETS, LEASES, SERVICES):
            await until_gone(client, kind, key_of({"metadata": meta}), limit=LIMIT_SECONDS)
        assert await exists(client, NAMESPACES, key)
        await _hold(client, held, is_held=False)
        await until_gone(client, NAMESPACES, key, limit=LIMIT_SECONDS)

    async def test_kinds_of_definitions_are_collected_too(self, client: KubeClient, namespace: str) -> None:
        """Foreground and orphaning end for an object of a kind that just came, whatever it owns or is owned by."""
        kind, definition = await defined_kind(client)
        top = await client.create(kind, gadget(kind, namespace, "top"))
        middle = await client.create(CONFIG_MAPS, config_map(namespace, "middle", top))
        leaf = await client.create(kind, gadget(kind, namespace, "leaf", middle))
        free = await client.create(kind, gadget(kind, namespace, "free"))
        kept = await client.create(CONFIG_MAPS, config_map(namespace, "kept", free))
        await client.delete(kind, key_of(top), propagation=Propagation.FOREGROUND)
        await until_gone(client, kind, key_of(top), key_of(leaf), limit=NEW_KIND_LIMIT_SECONDS)
        await _until_gone(client, middle)
        await client.delete(kind, key_of(free), propagation=Propagation.ORPHAN)
        await until_gone(client, kind, key_of(free), limit=LIMIT_SECONDS)
        assert owners_of(await client.get(CONFIG_MAPS, "kept", namespace)) == ()
        await client.delete(CRDS, key_of(definition), propagation=Propagation.FOREGROUND)
        await until_gone(client, CRDS, key_of(definition), limit=LIMIT_SECONDS)
        assert await exists(client, CONFIG_MAPS, key_of(kept))


async def defined_kind(client: KubeClient) -> tuple[ResourceType, Json]:
    """Return a new kind of one's own, served, and its definition."""
    kind, definition = new_kind({"type": "object"})
    await install(client, [definition])
    return kind, definition


def new_kind(schema: ReadOnlyJson, subresources: ReadOnlyJson | None = None) -> tuple[ResourceType, Json]:
    """Return a kind that no server has yet, and the definition that brings it."""
    group = f"g{uuid4().hex[:8]}.rayfleet.test"
    kind = ResourceType(group=group, version="v1", plural="gadgets", kind="Gadget")
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": dict(schema)}}
    definition: Json = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"gadgets.{group}"},
        "spec": {
            "group": group,
            "names": {"plural": "gadgets", "kind": "Gadget"},
            "scope": "Namespaced",
            "versions": [{**version, "subresources": dict(subresources or {})}],
        },
    }
    return kind, definition


def gadget(kind: ResourceType, namespace: str, name: str, *owners: ReadOnlyJson) -> Json:
    """Return an object of a kind with these owners."""
    return {**config_map(namespace, name, *owners), "apiVersion": kind.api_version, "kind": kind.kind}


def config_map(namespace: str, name: str, *owners: ReadOnlyJson, blocks: bool = True) -> Json:
    """Return a ConfigMap with these owners; ``blocks``: their foreground deletion waits for it."""
    references = [
        {
            "apiVersion": each.get("apiVersion", "v1"),
            "kind": each["kind"],
            "name": name_of(each),
            "uid": uid_of(each),
            "blockOwnerDeletion": blocks,
        }
        for each in owners
    ]
    meta = {"name": name, "namespace": namespace, "ownerReferences": references}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


async def _until_gone(client: KubeClient, *manifests: ReadOnlyJson) -> None:
    await until_gone(client, CONFIG_MAPS, *map(key_of, manifests), limit=LIMIT_SECONDS)


async def _hold(client: KubeClient, manifest: ReadOnlyJson, *, is_held: bool) -> None:
    finalizers = ["rayfleet.test/hold"] if is_held else None
    await client.patch(CONFIG_MAPS, key_of(manifest), {"metadata": {"finalizers": finalizers}})
