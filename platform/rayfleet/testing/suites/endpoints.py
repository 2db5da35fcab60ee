"""What an endpoint slice controller does, as tests: for the real one and for what stands in for it.

The node is played by the test.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import AlreadyExists
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES
from rayfleet.objects.meta import key_of, labels_of, name_of, uid_of
from rayfleet.objects.owners import is_controlled_by
from rayfleet.objects.services import ready_addresses, slice_port
from rayfleet.testing.stand_ins import put_pod_status
from rayfleet.testing.waiting import LIMIT_SECONDS, until

ADDRESS = "10.77.0.2"  # the real server refuses loopback addresses in slices, the embedded one must take them
OTHER_ADDRESS = "10.9.8.8"
NODE = "rayfleet-suite"  # Kubernetes leaves out pods whose node is not there
PROMPT_SECONDS = 1.0  # measured: 25 ms, of which 20 are this test's own waiting; other work may run beside


class EndpointSliceSuite:
    """Subclass it with a fixture that runs an endpoint slice controller (and a garbage collector)."""

    async def test_a_pods_readiness_is_in_the_slice_at_once(self, client: KubeClient, namespace: str) -> None:
        """Readiness moves addresses in and out, promptly."""
        await client.create(SERVICES, _service(namespace, "web"))
        await _until_slice(client, namespace, "web", _has_none_ready)
        made = await _made_pod(client, _pod(namespace, "one", "web"))

        async def seconds() -> float:
            """Move the pod in and out again; return how long the quicker move took to be seen."""
            delays = []
            for is_ready in (True, False):
                began = time.monotonic()
                await put_pod_status(client, made, address=ADDRESS, is_ready=is_ready)
                await _until_slice(client, namespace, "web", _has_ready if is_ready else _has_none_ready)
                delays.append(time.monotonic() - began)
            return min(delays)

        await until(seconds, "a prompt move", holds=lambda delay: delay < PROMPT_SECONDS)

    async def test_a_slice_says_exactly_this(self, client: KubeClient, namespace: str) -> None:
        """A headless Service that publishes pods that are not ready, with a named target port."""
        manifest = _service(namespace, "web")
        manifest["metadata"]["labels"] = {"team": "a"}
        ports = [{"name": "serve", "port": 80, "targetPort": "http", "appProtocol": "http"}]
        manifest["spec"] |= {"publishNotReadyAddresses": True, "ports": ports}
        service = await client.create(SERVICES, manifest)
        manifest = _pod(namespace, "one", "web")
        manifest["spec"]["containers"][0]["ports"] = [{"name": "http", "containerPort": 8123}]
        made = await _made_pod(client, manifest)
        await put_pod_status(client, made, address=ADDRESS, is_ready=False)
        current = await _until_slice(client, namespace, "web", _has_ready)
        target = {"kind": "Pod", "namespace": namespace, "name": "one", "uid": uid_of(made)}
        conditions = {"ready": True, "serving": False, "terminating": False}
        assert current["endpoints"] == [
            {"addresses": [ADDRESS], "conditions": conditions, "targetRef": target, "nodeName": NODE}
        ]
        assert current["ports"] == [{"name": "serve", "port": 8123, "protocol": "TCP", "appProtocol": "http"}]
        assert current["addressType"] == "IPv4"
        assert labels_of(current) == {
            "team": "a",
            "kubernetes.io/service-name": "web",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            "service.kubernetes.io/headless": "",
        }
        owner = {"apiVersion": "v1", "kind": "Service", "name": "web", "uid": uid_of(service)}
        assert current["metadata"]["ownerReferences"] == [{**owner, "controller": True, "blockOwnerDeletion": True}]
        assert name_of(current).startswith("web-")

    async def test_pods_that_number_a_named_port_differently_are_each_asked_at_their_own(
        self, client: KubeClient, namespace: str
    ) -> None:
        """As in a rollout to another port; when one kind of pod is gone, one slice is left."""
        manifest = _service(namespace, "web")
        manifest["spec"]["ports"] = [{"name": "serve", "port": 80, "targetPort": "http"}]
        await client.create(SERVICES, manifest)
        made = {}
        for name, port, address in (("old", 8000, ADDRESS), ("new", 9000, OTHER_ADDRESS)):
            pod = _pod(namespace, name, "web")
            pod["spec"]["containers"][0]["ports"] = [{"name": "http", "containerPort": port}]
            made[name] = await _made_pod(client, pod)
            await put_pod_status(client, made[name], address=address)
        asked = {(ADDRESS, 8000), (OTHER_ADDRESS, 9000)}
        what = "each pod at its own port"
        await until(
            lambda: _slices(client, namespace, "web"), what, LIMIT_SECONDS, holds=lambda slices: _asked(slices) == asked
        )
        await client.delete(PODS, key_of(made["old"]), grace_period_seconds=0)
        only = await _until_slice(client, namespace, "web", _has_ready)
        assert _asked([only]) == {(OTHER_ADDRESS, 9000)}

    async def test_a_terminating_pod_is_not_ready_but_still_there(self, client: KubeClient, namespace: str) -> None:
        """Terminating pods serve what they have, and get nothing new."""
        await client.create(SERVICES, _service(namespace, "web"))
        manifest = _pod(namespace, "one", "web")
        manifest["metadata"]["finalizers"] = ["rayfleet.test/hold"]
        made = await _made_pod(client, manifest)
        await put_pod_status(client, made, address=ADDRESS)
        await _until_slice(client, namespace, "web", _has_ready)
        await client.delete(PODS, key_of(made), grace_period_seconds=0)
        current = await _until_slice(client, namespace, "web", _has_none_ready)
        conditions = current["endpoints"][0]["conditions"]
        assert (conditions["serving"], conditions["terminating"]) == (True, True)
        await client.patch(PODS, key_of(made), {"metadata": {"finalizers": None}})
        await _until_slice(client, namespace, "web", lambda current: not current.get("endpoints"))

    async def test_a_pod_moves_with_its_labels_and_a_service_with_its_selector(
        self, client: KubeClient, namespace: str
    ) -> None:
        """Selection is by labels now, not when the pod was made."""
        await client.create(SERVICES, _service(namespace, "blue"))
        await client.create(SERVICES, _service(namespace, "green"))
        made = await _made_pod(client, _pod(namespace, "one", "blue"))
        await put_pod_status(client, made, address=ADDRESS)
        await _until_slice(client, namespace, "blue", _has_ready)
        await client.patch(PODS, key_of(made), {"metadata": {"labels": {"app": "green"}}})
        await _until_slice(client, namespace, "green", _has_ready)
        await _until_slice(client, namespace, "blue", _has_none_ready)
        key = key_of(_service(namespace, "blue"))
        await client.patch(SERVICES, key, {"spec": {"selector": {"app": "green"}}})
        await _until_slice(client, namespace, "blue", _has_ready)

    async def test_a_slice_goes_with_its_service_and_comes_back_with_it(
        self, client: KubeClient, namespace: str
    ) -> None:
        """A slice belongs to one Service, by UID."""
        made = await _made_pod(client, _pod(namespace, "one", "web"))
        await put_pod_status(client, made, address=ADDRESS)
        first = await client.create(SERVICES, _service(namespace, "web"))
        await _until_slice(client, namespace, "web", _has_ready)
        await client.delete(SERVICES, key_of(first))
        second = await client.create(SERVICES, _service(namespace, "web"))

        await _until_slice(client, namespace, "web", lambda current: is_controlled_by(current, uid_of(second)))
        await client.delete(SERVICES, key_of(second))
        await until(
            lambda: _slices(client, namespace, "web"), "the slice is gone", LIMIT_SECONDS, holds=lambda left: not left
        )

    async def test_a_slice_that_somebody_spoils_is_mended(self, client: KubeClient, namespace: str) -> None:
        """A slice is what the pods say, whatever is written into it."""
        await client.create(SERVICES, _service(namespace, "web"))
        made = await _made_pod(client, _pod(namespace, "one", "web"))
        await put_pod_status(client, made, address=ADDRESS)
        current = await _until_slice(client, namespace, "web", _has_ready)
        await client.patch(ENDPOINT_SLICES, key_of(current), {"endpoints": []})
        await _until_slice(client, namespace, "web", _has_ready)
        await client.delete(ENDPOINT_SLICES, key_of(current))
        await _until_slice(client, namespace, "web", _has_ready)


def _service(namespace: str, name: str) -> Json:
    spec = {"selector": {"app": name}, "clusterIP": "None", "ports": [{"name": "serve", "port": 8000}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def _pod(namespace: str, name: str, app: str) -> Json:
    meta = {"name": name, "namespace": namespace, "labels": {"app": app}}
    containers = [{"name": "main", "image": "example/engine:1"}]
    spec = {"automountServiceAccountToken": False, "nodeName": NODE, "containers": containers}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


async def _made_pod(client: KubeClient, manifest: ReadOnlyJson) -> Json:
    with contextlib.suppress(AlreadyExists):
        await client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
    return await client.create(PODS, manifest)


async def _until_slice(client: KubeClient, namespace: str, name: str, claim: Callable[[ReadOnlyJson], Any]) -> Json:
    def is_one_as_claimed(slices: Sequence[Json]) -> bool:
        return len(slices) == 1 and bool(claim(slices[0]))

    what = f"one slice of Service {name}, as claimed"
    (only,) = await until(lambda: _slices(client, namespace, name), what, LIMIT_SECONDS, holds=is_one_as_claimed)
    return only


async def _slices(client: KubeClient, namespace: str, name: str) -> Sequence[Json]:
    return (await client.list(ENDPOINT_SLICES, namespace, label_selector=f"kubernetes.io/service-name={name}")).items


def _asked(slices: Sequence[ReadOnlyJson]) -> set[tuple[str, int | None]]:
    """Return where requests to the port ``serve`` go."""
    return {(address, slice_port(each, "serve")) for each in slices for address in ready_addresses(each)}


def _has_ready(endpoint_slice: ReadOnlyJson) -> bool:
    return any(ready_addresses(endpoint_slice))


def _has_none_ready(endpoint_slice: ReadOnlyJson) -> bool:
    return not _has_ready(endpoint_slice)
